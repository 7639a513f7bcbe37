"""A platform under load whose parts are taken away, and the account of what was acknowledged meanwhile."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg

from cli.driver import Driver
from cli.matrix import Said, drained
from cli.platform import Platform
from cli.tally import Tally
from pullarm.domain.decision_id import decode
from pullarm.storage.postgres import (
    Database,
    PostgresExperiments,
    PostgresLedger,
    PostgresStatistics,
)
from replay import synthetic
from serving.settings import read_keys
from tests.e2e import upstream
from tests.e2e.upstream import PATIENCE_S, connections, launch
from tests.state_folders import temporary_state

PER_SECOND = 200.0
ROUND = 100
"""Decisions after which the load may end; each round opens new connections."""
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A platform and what its supervisor has said."""

    platform: Platform
    said: Said

    async def back(self, name: str, since: int) -> None:
        """Wait until a program has been said to be ready again after the first `since` messages."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.said.back(name, since):
                await asyncio.sleep(0.02)


@asynccontextmanager
async def watching(*, workers: int = 1, redis_url: str = "") -> AsyncIterator[Watched]:
    """A platform of one file's own, because its processes do not survive."""
    said = Said()
    with temporary_state() as folder:
        async with upstream.running(folder, said, workers=workers, redis_url=redis_url) as platform:
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
    said = len(watched.said.lines)
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
        statistics = PostgresStatistics(database)
        await statistics.catch_up(number)
        differences = await ledger.verify(number) + await statistics.verify(number)
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


def busier(platform: Platform) -> str:
    """The serving process that has more of the load's connections."""
    port = int(platform.grpc_address.rpartition(":")[2])
    names = ("serving-0", "serving-1")
    return max(names, key=lambda name: len(connections(platform.pids[name], port)))


@asynccontextmanager
async def gone(watched: Watched, name: str) -> AsyncIterator[None]:
    """Kill the embedded Valkey and keep it from starting for as long as the block runs."""
    configuration = watched.platform.settings.state / name / f"{name}.conf"
    sound = configuration.read_text()
    said = len(watched.said.lines)
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
