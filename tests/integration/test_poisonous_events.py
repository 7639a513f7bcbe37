"""An event that PostgreSQL does not take is set aside alone; what came with it is folded, and no number is missing."""

import asyncio

from pullarm.domain.assignment import MICRO
from pullarm.domain.decision import Span
from pullarm.storage import events
from pullarm.storage.postgres import Database, PostgresExperiments, PostgresLedger
from pullarm.storage.redis import RedisEventSink, RedisEventSource, connect, keys
from tests.builders import FixedClock
from tests.ledger_events import HOUR_MS, START_MS, THOMPSON, Events, batch, draft, entry
from workers.consumer import Consumer


async def test_poisonous_event_is_set_aside_alone(database_url: str, redis_url: str) -> None:
    make = Events()
    async with Database(database_url) as database, connect(redis_url) as redis:
        ledger, experiments = PostgresLedger(database), PostgresExperiments(database)
        number = (await experiments.create(draft("a"), START_MS)).number
        tokens = [make.token(number) for _ in range(20)]
        rewards = [make.reward(token) for token in tokens]
        rewards[7] = bad = rewards[7]._replace(kind="a\0b")
        sink = RedisEventSink(redis)
        for at in range(0, 20, 4):
            some = batch(*map(make.decision, tokens[at : at + 4]), *rewards[at : at + 4])
            await sink.append(entry(some._replace(spans=[Span("serving-1", 2 * at, 2 * at + 8)])))
        await sink.append(b"\xff no entry")
        consumer = Consumer(RedisEventSource(redis, "one"), ledger, experiments, FixedClock())
        running = asyncio.create_task(consumer.run())
        async with asyncio.timeout(60):
            while await redis.xlen(keys.events(0)):
                await asyncio.sleep(0.02)
        consumer.stop()
        await running
        await sink.aclose()
        cell = (THOMPSON, 1, START_MS // HOUR_MS)
        assert await ledger.posterior(number) == {cell: (20, 19 * MICRO)}
        assert await ledger.verify(number) == []
        (come,) = await ledger.intake()
        assert (come.numbered, come.missing) == (40, 0)
        async with database.connection() as connection:
            kept = await connection.fetch("SELECT payload FROM quarantine")
        assert {row["payload"] for row in kept} == {events.pack(bad), b"\xff no entry"}
