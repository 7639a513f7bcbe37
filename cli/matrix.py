"""Faults on a running platform under load, and the account of what was acknowledged meanwhile."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Protocol

from cli.cluster import Nodes
from cli.driver import Driver
from cli.endurance import Endurance, Watch
from cli.platform import Platform
from cli.refold import Posterior, look, refold
from cli.tally import Tally
from pullarm.domain.assignment import MICRO
from pullarm.domain.decision_id import decode
from pullarm.storage.postgres import (
    Database,
    PostgresExperiments,
    PostgresLedger,
    PostgresStatistics,
)
from pullarm.storage.redis import reach
from pullarm.storage.redis.facts import backlog
from serving.settings import read_keys

FAULTS = ("worker", "valkey", "postgres", "serving", "control")
"""What is killed; of serving and workers one process, by chance."""
PRIMARY = "primary"
"""Of a cluster, any; its replica takes its place."""
TWO_AT_ONCE = "two at once"
NOTHING = "nothing"
"""Is killed while the load goes on for the other half of the time."""
BETWEEN_S = 1.0
"""How much traffic, in seconds of its pace, has its answers between a recovery and the next fault."""
_TWO = 0.25
"""Of the faults at random."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Every fault once, in turn; then some at random, so many and for half of the time at least. The other half of it
    nothing is killed, and looked at whether the platform stays as it is."""

    per_second: float = 500.0
    at_random: int = 10
    minutes: float = 0.0
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One fault and what was acknowledged until the next."""

    fault: str
    recovery_s: float
    """Until what was killed was ready again."""
    pause_s: float
    """The longest time without an acknowledged decision."""
    decision_ids: Sequence[str]
    rewarded_ids: Sequence[str]
    missing: int = 0
    """Of these decisions and rewards, those that the ledger does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What the ledger says in the end."""

    rounds: list[Round]
    differences: list[str]
    """Between its rows and its posterior."""
    gaps: int
    """Events that serving numbered and that have not come."""
    doubled: int
    """Decisions and rewards that the posterior has beyond those of the ledger's rows."""
    same: dict[int, bool]
    """By number of workers: whether they make the same posterior of the ledger's events."""
    refused: int
    """Calls that failed however often they were tried."""
    endurance: Endurance | None = None
    """None where there was no time for it."""

    @property
    def missing(self) -> int:
        return sum(each.missing for each in self.rounds)

    @property
    def sound(self) -> bool:
        """Everything acknowledged is in the ledger once, the posterior is its fold, and the platform stays as it is."""
        wrong = self.missing or self.doubled or self.differences or self.gaps
        steady = self.endurance is None or self.endurance.steady
        return not wrong and all(self.same.values()) and steady


@dataclass(slots=True)
class Said:
    """What a platform's supervisor says."""

    lines: list[str] = field(default_factory=list)

    def __call__(self, line: str) -> None:
        self.lines.append(line)

    def back(self, name: str, since: int) -> bool:
        """Whether a program was said to be ready again after so many lines."""
        return any(line.startswith(f"{name} is ready again") for line in self.lines[since:])


class Matrix:
    """Runs a plan on a platform whose supervisor reports to `said`."""

    def __init__(
        self,
        platform: Platform,
        said: Said,
        driver: Driver,
        tally: Tally,
        report: Callable[[str], None],
        nodes: Nodes | None = None,
    ) -> None:
        """`nodes` are of the cluster that the platform uses, if it does."""
        self._platform = platform
        self._said = said
        self._driver = driver
        self._tally = tally
        self._report = report
        self._nodes = nodes
        self._faults = FAULTS if nodes is None else (*FAULTS, PRIMARY)

    async def run(self, plan: Plan) -> tuple[list[Round], Endurance | None]:
        """Kill and wait, under load; then only wait. The load ends with the last round."""
        random, rounds = Random(plan.seed), list[Round]()
        load = asyncio.create_task(self._driver.live(None, plan.per_second))
        try:
            await self._answered(plan, load)
            ends_at = time.monotonic() + 30 * plan.minutes
            in_turn = [(fault,) for fault in self._faults]
            while (
                in_turn
                or len(rounds) < len(self._faults) + plan.at_random
                or time.monotonic() < ends_at
            ):
                faults = in_turn.pop(0) if in_turn else self._at_random(random)
                rounds.append(await self._round(faults, random, plan, load))
            endurance = None
            if plan.minutes:
                last, endurance = await self._undisturbed(30 * plan.minutes, load)
                rounds.append(last)
        finally:
            load.cancel()
            await asyncio.wait([load])
        return rounds, endurance

    async def _undisturbed(
        self, seconds: float, load: "asyncio.Task[None]"
    ) -> tuple[Round, Endurance]:
        self._report(f"killed enough; for {seconds / 60:g} minutes nothing is, and looked on")
        decided, rewarded = len(self._tally.decision_ids), len(self._tally.rewarded_ids)
        endurance = await Watch(self._platform, self._tally).go_on(load, seconds)
        last = Round(
            fault=NOTHING,
            recovery_s=0.0,
            pause_s=0.0,
            decision_ids=self._tally.decision_ids[decided:],
            rewarded_ids=self._tally.rewarded_ids[rewarded:],
        )
        return last, endurance

    async def _round(
        self, faults: Sequence[str], random: Random, plan: Plan, load: "asyncio.Task[None]"
    ) -> Round:
        names = [self._one_of(fault, random) for fault in faults if fault != PRIMARY]
        decided, rewarded = len(self._tally.decision_ids), len(self._tally.rewarded_ids)
        since, started = len(self._said.lines), time.monotonic()
        for name in names:
            os.kill(self._platform.pids[name], signal.SIGKILL)
        replacing = [asyncio.create_task(self._replace(random)) for _ in {PRIMARY} & {*faults}]
        pauses = [
            await self._until(
                lambda: (
                    all(self._said.back(name, since) for name in names)
                    and all(task.done() for task in replacing)
                ),
                load,
                f"{names} again",
            )
        ]
        names += [task.result() for task in replacing]
        recovery_s = time.monotonic() - started
        pauses.append(await self._answered(plan, load))
        self._report(f"{' and '.join(names)}: killed, ready again after {recovery_s:.1f} s")
        return Round(
            fault=faults[0] if len(faults) == 1 else TWO_AT_ONCE,
            recovery_s=recovery_s,
            pause_s=max(pauses),
            decision_ids=self._tally.decision_ids[decided:],
            rewarded_ids=self._tally.rewarded_ids[rewarded:],
        )

    def _one_of(self, fault: str, random: Random) -> str:
        running = [name for name in self._platform.pids if name.split("-")[0] == fault]
        return random.choice(sorted(running))

    async def _replace(self, random: Random) -> str:
        """Kill a primary and have its replica take its place; what was killed."""
        assert self._nodes is not None  # else it is none of the faults
        return f"{PRIMARY} {await self._nodes.replace(random.choice(self._nodes.parts))}"

    def _at_random(self, random: Random) -> tuple[str, ...]:
        return tuple(random.sample(self._faults, 2 if random.random() < _TWO else 1))

    async def _answered(self, plan: Plan, load: "asyncio.Task[None]") -> float:
        """Wait for some more answers; the longest pause between two."""
        target = len(self._tally.decision_ids) + round(plan.per_second * BETWEEN_S)
        return await self._until(
            lambda: len(self._tally.decision_ids) >= target, load, "more answers"
        )

    async def _until(
        self, condition: Callable[[], bool], load: "asyncio.Task[None]", awaited: str
    ) -> float:
        """Wait; the longest time meanwhile in which no decision was acknowledged."""
        started = last_at = time.monotonic()
        longest_s, count = 0.0, len(self._tally.decision_ids)
        while not condition():
            await look(started, awaited)
            if load.done():
                load.result()
            now = time.monotonic()
            longest_s = max(longest_s, now - last_at)
            if len(self._tally.decision_ids) > count:
                last_at, count = now, len(self._tally.decision_ids)
        return longest_s


class Accountable(Protocol):
    """A platform whose acknowledged events can be accounted for."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What its processes are told."""


async def drained(platform: Accountable) -> None:
    """Wait until spools and stream are empty: entries of a killed worker are taken over seconds later."""
    began = time.monotonic()
    async with reach(platform.environment["REDIS_URL"]) as redis:
        while _spooled(platform) or (await backlog(redis)).entries:
            await look(began, "the fold of what was stored")


def _spooled(platform: Accountable) -> bool:
    return any(Path(platform.environment["PULLARM_SPOOL"]).glob("*.spool"))


async def account(
    platform: Accountable, reference: str, rounds: Sequence[Round], refused: int, seed: int
) -> Account:
    """Wait until everything is folded, and compare."""
    await drained(platform)
    environment = platform.environment
    ring = read_keys(environment)
    async with Database(environment["DATABASE_URL"], max_connections=2) as database:
        ledger = PostgresLedger(database)
        experiment = await PostgresExperiments(database).get(reference)
        counted = []
        for each in rounds:
            uids = [
                [decode(text, ring).uid for text in ids]
                for ids in (each.decision_ids, each.rewarded_ids)
            ]
            counted.append(replace(each, missing=await ledger.missing(*uids)))
        posterior = await ledger.posterior(experiment.number)
        statistics = PostgresStatistics(database)
        await statistics.catch_up(experiment.number)
        differences = await ledger.verify(experiment.number)
        differences += await statistics.verify(experiment.number)
        gaps = sum(each.missing + each.lost for each in await ledger.intake())
    servers = environment["DATABASE_URL"], environment["REDIS_URL"]
    refolded = {
        workers: await refold(*servers, experiment, workers=workers, seed=seed)
        for workers in (1, 2)
    }
    return Account(
        rounds=counted,
        differences=differences,
        gaps=gaps,
        doubled=_count(posterior) - _count(refolded[1]),
        same={workers: found == posterior for workers, found in refolded.items()},
        refused=refused,
    )


def _count(posterior: Posterior) -> int:
    """Serves and rewards of 1."""
    return sum(serves + credit // MICRO for serves, credit in posterior.values())
