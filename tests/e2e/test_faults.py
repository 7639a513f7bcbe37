"""What becomes of acknowledged events when a process of the platform is killed under load."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
import redis.asyncio

from cli.driver import Driver
from cli.platform import Platform
from cli.tally import Tally
from pullarm.domain.decision_id import decode
from pullarm.storage.postgres import Database, PostgresExperiments, PostgresLedger
from pullarm.storage.redis import keys
from replay import synthetic
from serving.settings import read_keys
from tests.e2e import upstream
from tests.e2e.upstream import PATIENCE_S, answered, connections, launch
from tests.state_folders import temporary_state

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

PER_SECOND = 200.0
ROUND = 100
"""Decisions after which the load may end; each round opens new connections."""
OUTAGE_S = 20.0
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A platform and what its supervisor has said."""

    platform: Platform
    said: list[str]

    async def back(self, name: str, since: int) -> None:
        """Wait until a program has been said to be ready again after the first `since` messages."""
        async with asyncio.timeout(PATIENCE_S):
            while not any(f"{name} is ready again" in line for line in self.said[since:]):
                await asyncio.sleep(0.02)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched() -> AsyncIterator[Watched]:
    """A platform of this file's own, because its processes do not survive."""
    said: list[str] = []
    with temporary_state() as folder:
        async with upstream.running(folder, said.append) as platform:
            yield Watched(platform=platform, said=said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The traffic to one experiment and what of it was acknowledged."""

    experiment: str
    tally: Tally

    async def acknowledged(self, decisions: int) -> None:
        """Wait for that many more decisions."""
        target = len(self.tally.decision_ids) + decisions
        async with asyncio.timeout(PATIENCE_S):
            while len(self.tally.decision_ids) < target:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def steady_load(platform: Platform) -> AsyncIterator[Load]:
    """Visits to a new experiment for as long as the block runs; the calls in flight are finished."""
    traffic = synthetic.Visits(seed=11)
    async with upstream.rest(platform) as api, upstream.fleet(platform.grpc_address) as fleet:
        experiment = await launch(api, fleet, arms=[arm.id for arm in traffic.arms])
    load = Load(experiment=experiment["id"], tally=Tally())
    driver = Driver(platform.grpc_address, load.experiment, traffic, load.tally)
    enough = asyncio.Event()

    async def drive() -> None:
        while not enough.is_set():
            await driver.live(ROUND, PER_SECOND)

    async with asyncio.TaskGroup() as group:
        group.create_task(drive())
        try:
            await load.acknowledged(ROUND)
            yield load
            await load.acknowledged(ROUND)
        finally:
            enough.set()


async def kill(watched: Watched, name: str) -> None:
    """Kill a process and wait until its successor is ready."""
    said = len(watched.said)
    os.kill(watched.platform.pids[name], signal.SIGKILL)
    await watched.back(name, said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What the ledger holds of an experiment in the end."""

    differences: list[str]
    decisions: int
    """Of a policy and not voided."""
    rewards: int
    """Reward calls."""
    serves: int
    """In the posterior."""
    credit_micro: int
    """In the posterior."""
    settled: int
    """Acknowledged rewards that stand for exactly one credit of one."""


async def drained(platform: Platform) -> None:
    """Wait until spools and stream are empty: entries of a killed worker are taken over seconds later."""
    client = redis.asyncio.Redis.from_url(platform.environment["REDIS_URL"])
    try:
        async with asyncio.timeout(PATIENCE_S):
            while spooled(platform) or await client.xlen(keys.events(0)):
                await asyncio.sleep(0.1)
    finally:
        await client.aclose()


async def account(platform: Platform, load: Load) -> Account:
    """Wait until the stream is folded and forgotten, and read what the ledger has."""
    await drained(platform)
    ring = read_keys(platform.environment)
    decided = [decode(each, ring).uid for each in load.tally.decision_ids]
    rewarded = [decode(each, ring).uid for each in load.tally.rewarded_ids]
    assert len(set(decided)) == len(decided)
    async with Database(platform.environment["DATABASE_URL"], max_connections=2) as database:
        ledger = PostgresLedger(database)
        assert await ledger.missing(decided, rewarded) == 0, "acknowledged events are lost"
        number = (await PostgresExperiments(database).get(load.experiment)).number
        cells = (await ledger.posterior(number)).values()
        differences = await ledger.verify(number)
    connection = await asyncpg.connect(platform.environment["DATABASE_URL"])
    try:
        return Account(
            differences=differences,
            serves=sum(serves for serves, _ in cells),
            credit_micro=sum(credit for _, credit in cells),
            decisions=await connection.fetchval(
                "SELECT count(*) FROM decision WHERE experiment_id = $1 AND acting > 0 AND NOT voided",
                number,
            ),
            rewards=await connection.fetchval(
                "SELECT count(*) FROM reward WHERE experiment_id = $1", number
            ),
            settled=await connection.fetchval(
                "SELECT count(*) FROM credit WHERE uid = ANY($1) AND (value, booked) = ($2, $2)",
                [UUID(bytes=uid) for uid in rewarded],
                _MILLION,
            ),
        )
    finally:
        await connection.close()


def check_exactly_once(found: Account, tally: Tally) -> None:
    """Whatever callers were refused meanwhile: what they were told is stored counts, and counts once."""
    assert found.differences == []
    assert found.serves == found.decisions >= len(tally.decision_ids)
    assert found.settled == len(tally.rewarded_ids) == len(set(tally.rewarded_ids)) > 0


def check_nobody_noticed(found: Account, tally: Tally) -> None:
    """No call failed, so the ledger holds what was acknowledged and not one event more."""
    assert (tally.failures, tally.problem) == (0, "")
    assert (found.decisions, found.rewards) == (len(tally.decision_ids), len(tally.rewarded_ids))
    assert (found.serves, found.credit_micro) == (found.decisions, found.rewards * _MILLION)


async def test_nothing_acknowledged_is_lost_with_a_serving_process(watched: Watched) -> None:
    platform = watched.platform
    async with steady_load(platform) as load:
        name = busier(platform)
        said = len(watched.said)
        os.kill(platform.pids["valkey"], signal.SIGSTOP)
        try:
            await asyncio.sleep(0.2)  # what arrives now is not stored, and may not be acknowledged
            os.kill(platform.pids[name], signal.SIGKILL)
        finally:
            os.kill(platform.pids["valkey"], signal.SIGCONT)
        await watched.back(name, said)
    check_exactly_once(await account(platform, load), load.tally)


def busier(platform: Platform) -> str:
    """The serving process that has more of the load's connections."""
    port = int(platform.grpc_address.rpartition(":")[2])
    names = ("serving-0", "serving-1")
    return max(names, key=lambda name: connections(platform.pids[name], port))


@pytest.mark.parametrize("name", ["control", "postgres"])
async def test_callers_notice_nothing_of_the_parts_behind(watched: Watched, name: str) -> None:
    async with steady_load(watched.platform) as load:
        await kill(watched, name)
    found = await account(watched.platform, load)
    check_exactly_once(found, load.tally)
    check_nobody_noticed(found, load.tally)
    async with upstream.rest(watched.platform) as api:
        summary = await answered(api.get(f"/{load.experiment}/summary"))
    assert sum(policy["serves"] for policy in summary["policies"].values()) == found.decisions


async def test_entries_in_the_hands_of_a_killed_worker_are_folded_once(watched: Watched) -> None:
    platform = watched.platform
    async with steady_load(platform) as load:
        await freeze_with_entries(platform.pids["worker"], platform.environment["REDIS_URL"])
        await kill(watched, "worker")
        said = len(watched.said)
        os.kill(platform.pids["postgres"], signal.SIGKILL)
        await load.acknowledged(ROUND // 2)  # which the worker has claimed and cannot fold
        await kill(watched, "worker")
        await watched.back("postgres", said)
    found = await account(platform, load)
    check_exactly_once(found, load.tally)
    check_nobody_noticed(found, load.tally)


async def freeze_with_entries(worker: int, redis_url: str) -> None:
    """Halt a worker at a moment at which it has claimed entries and not acknowledged them."""
    client = redis.asyncio.Redis.from_url(redis_url)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                os.kill(worker, signal.SIGSTOP)
                pending = await client.xpending(keys.events(0), keys.GROUP)
                if pending["pending"]:
                    return
                os.kill(worker, signal.SIGCONT)
                await asyncio.sleep(0.01)
    finally:
        await client.aclose()


async def test_callers_notice_nothing_of_an_event_stream_that_is_gone_for_long(
    watched: Watched,
) -> None:
    async with steady_load(watched.platform) as load, gone(watched, "valkey"):
        started = len(load.tally.decision_ids)
        await asyncio.sleep(OUTAGE_S)
        assert len(load.tally.decision_ids) > started + OUTAGE_S * PER_SECOND / 4
        assert spooled(watched.platform)
    found = await account(watched.platform, load)
    check_exactly_once(found, load.tally)
    check_nobody_noticed(found, load.tally)


async def test_nothing_in_the_spool_is_lost_with_its_process(watched: Watched) -> None:
    platform = watched.platform
    async with steady_load(platform) as load:
        async with gone(watched, "valkey"):
            await load.acknowledged(ROUND)
            said, name = len(watched.said), busier(platform)
            os.kill(platform.pids[name], signal.SIGKILL)
            await load.acknowledged(ROUND)
        await watched.back(name, said)
    check_exactly_once(await account(platform, load), load.tally)


@asynccontextmanager
async def gone(watched: Watched, name: str) -> AsyncIterator[None]:
    """Kill the embedded Valkey and keep it from starting for as long as the block runs."""
    configuration = watched.platform.settings.state / name / f"{name}.conf"
    sound = configuration.read_text()
    said = len(watched.said)
    configuration.write_text("no configuration")
    try:
        os.kill(watched.platform.pids[name], signal.SIGKILL)
        yield
    finally:
        configuration.write_text(sound)
    await watched.back(name, said)


def spooled(platform: Platform) -> list[Path]:
    """The files in which events wait for the stream."""
    return sorted((platform.settings.state / "spool").glob("*.spool"))
