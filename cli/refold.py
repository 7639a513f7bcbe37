"""A ledger's events folded once more, into an empty database, by the workers' own consumers."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from urllib.parse import urlsplit

from pullarm.clock import system_clock
from pullarm.domain.decision import Batch, Decision, Reward, Token
from pullarm.domain.errors import PullarmError, Unavailable
from pullarm.domain.experiment import Experiment
from pullarm.domain.ports import NewExperiment
from pullarm.storage import events
from pullarm.storage.postgres import Database, PostgresExperiments, PostgresLedger, migrate
from pullarm.storage.postgres.recall import recall
from pullarm.storage.redis import RedisEventSink, RedisEventSource, keys, reach
from pullarm.storage.redis.cluster import on
from workers.consumer import Consumer

Posterior = dict[tuple[int, int, int], tuple[int, int]]
"""(policy, arm, hour) -> (serves, rewards in millionths)."""

PATIENCE_S = 600.0
"""How long what has to come in the end may take; nothing is said of how soon."""
_TWICE = 0.1
"""Of the entries, which come a second time."""
_LONGEST_ENTRY = 200
_LOOK_S = 0.05
_OWN_SHARDS = 1_000
"""Streams from here on are none of a platform's."""


async def refold(
    database_url: str, redis_url: str, experiment: Experiment, *, workers: int, seed: int
) -> Posterior:
    """The posterior that so many workers make of the experiment's events, shuffled, and some of them delivered twice.

    The stream is another than the platform's own, and so is the database, which is dropped in the end.
    """
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(Database(database_url, max_connections=2))
        url = await stack.enter_async_context(_another(source, database_url, f"refold_{workers}"))
        redis = reach(redis_url, timeout_s=30.0)
        await stack.enter_async_context(redis)
        target = await stack.enter_async_context(Database(url, max_connections=2))
        number = await _copy(experiment, target)
        consumers, shards = [], (_OWN_SHARDS + workers,)
        key = keys.events(shards[0])
        for name in range(workers):
            own = await stack.enter_async_context(Database(url, max_connections=2))
            claims = RedisEventSource(redis, str(name), shards)
            stores = PostgresLedger(own), PostgresExperiments(own)
            consumers.append(Consumer(claims, *stores, system_clock))
        async with asyncio.TaskGroup() as group:
            for consumer in consumers:
                group.create_task(consumer.run())
            sink = RedisEventSink(redis, shards=shards)
            random = Random(seed)
            async for batch in recall(source, experiment.number):
                for entry in _entries(batch, number, random):
                    await _append(sink, entry)
            began = time.monotonic()
            while await on(redis, key, lambda server: server.xlen(key)):
                await look(began, "the second fold")
            for consumer in consumers:
                consumer.stop()
        await sink.aclose()
        await on(redis, key, lambda server: server.delete(key))
        return await PostgresLedger(target).posterior(number)


class TooLate(PullarmError):
    """The platform did not come back."""

    code = "too_late"


async def look(began: float, awaited: str) -> None:
    """Wait a moment; raises TooLate once that has lasted too long."""
    if time.monotonic() - began > PATIENCE_S:
        raise TooLate(
            f"waited {PATIENCE_S:.0f} s in vain for {awaited}; see the logs in the state folder"
        )
    await asyncio.sleep(_LOOK_S)


@asynccontextmanager
async def _another(source: Database, url: str, name: str) -> AsyncIterator[str]:
    """A migrated, empty database beside the one of this URL."""
    async with source.connection() as connection:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE template1")
    try:
        another = urlsplit(url)._replace(path=f"/{name}").geturl()
        await migrate(another)
        yield another
    finally:
        async with source.connection() as connection:
            await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def _copy(experiment: Experiment, target: Database) -> int:
    """Create the same experiment; its number there."""
    draft = NewExperiment(
        id=experiment.id,
        key=experiment.key,
        spec=experiment.spec,
        salt=experiment.salt,
        buckets=experiment.buckets,
        arms=experiment.arms,
    )
    return (await PostgresExperiments(target).create(draft, system_clock())).number


def _entries(batch: Batch, number: int, random: Random) -> list[bytes]:
    """The events in random order, as entries of random size, some of them twice."""
    logged: list[Decision | Reward | Token] = [*batch.decisions, *batch.rewards, *batch.voids]
    random.shuffle(logged)
    entries = []
    while logged:
        size = random.randint(1, _LONGEST_ENTRY)
        entries.append(_entry(logged[:size], number))
        del logged[:size]
    return entries + [entry for entry in entries if random.random() < _TWICE]


def _entry(logged: list[Decision | Reward | Token], number: int) -> bytes:
    packed: dict[type, list[bytes]] = {Decision: [], Reward: [], Token: []}
    for event in logged:
        moved: events.Event
        if isinstance(event, Token):
            moved = event._replace(experiment=number)
        else:
            moved = event._replace(token=event.token._replace(experiment=number))
        packed[type(event)].append(events.pack(moved))
    return events.entry(*packed.values())


async def _append(sink: RedisEventSink, entry: bytes) -> None:
    while True:
        try:
            return await sink.append(entry)
        except Unavailable:  # more waits than the stream may hold
            await asyncio.sleep(_LOOK_S)
