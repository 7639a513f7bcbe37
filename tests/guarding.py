"""Experiments of 14 days whose counters are written in bulk, and the job that guards them, on a clock of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import numpy as np

from pullarm.domain.assignment import MICRO, allocate
from pullarm.domain.audit import Author
from pullarm.domain.errors import Unavailable
from pullarm.domain.experiment import (
    POLICY_NUMBERS,
    Experiment,
    PolicySpec,
    State,
    policy_weights,
)
from pullarm.domain.guardrail import StoredCheck, Verdict
from pullarm.domain.ports import NewExperiment
from pullarm.lifecycle import Lifecycle
from pullarm.policies import registry
from pullarm.statistics.guardrails.drop import EVERY_TWO_DAYS
from pullarm.statistics.ratio import Sums
from pullarm.statistics.sketch import bucket_of
from pullarm.storage.postgres import PostgresTrail
from pullarm.storage.postgres.guardrails import PostgresGuardrails
from tests.ledger_events import START_MS, draft
from tests.publishing import Scene, publishing
from tests.statistics.guardrails import CHECK_S, Tests, tests_of
from tests.statistics.population import CHECKS_A_DAY, impressions
from workers.guard import Guard

MINUTES_A_DAY = 1_440
CALLS = 17
"""Of each policy in a minute: 83 in five."""
IMPRESSIONS = 20.0
"""Of each policy between checks."""
_FIRST_MINUTE = START_MS // 60_000
_ADD_MINUTES = """
INSERT INTO serving_minute (experiment_id, policy, minute, process, sequence, calls, errors, over_100ms, over_120ms,
                            sketch, rewards)
SELECT $1, $2, minute, 'serving-0', 1, $3::integer, errors, slow, slow,
       jsonb_build_object($6::text, $3::integer - slow, $7::text, slow), 2
FROM unnest($4::integer[], $5::integer[], $8::integer[]) AS told (minute, errors, slow)
"""
_ADD_STARTS = """
INSERT INTO guard_start
SELECT $1, $2::integer * 100 + number - 1, $2::integer, $3, 0, number - 1, minute
FROM unnest($4::integer[]) WITH ORDINALITY AS start (minute, number)
"""
_ADD_SUMS = """
INSERT INTO guard_sums AS s
SELECT $1, $2::integer * 100 + number, policy, n, m, c, mm, cc, mc
FROM unnest($3::smallint[], $4::integer[], $5::bigint[], $6::bigint[], $7::bigint[], $8::numeric[], $9::numeric[],
            $10::numeric[]) AS t (policy, number, n, m, c, mm, cc, mc)
ON CONFLICT (experiment_id, start_no, policy) DO UPDATE SET
    n = excluded.n, m = excluded.m, c = excluded.c, mm = excluded.mm, cc = excluded.cc, mc = excluded.mc
"""
_ADD_USERS = """
INSERT INTO user_sums (experiment_id, allocation_epoch, policy, day, n, m, r, c, mm, cc, mc, moved, fresh)
SELECT $1, $2, policy, 0, users, 0, 0, 0, 0, 0, 0, 0, users
FROM unnest($3::smallint[], $4::bigint[]) AS t (policy, users)
ON CONFLICT (experiment_id, allocation_epoch, policy, day) DO UPDATE SET n = excluded.n, fresh = excluded.fresh
"""
_STATE = "SELECT state FROM experiment WHERE experiment_id = $1"
_SUMS = ("n", "m", "c", "mm", "cc", "mc")


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with thompson from a check on."""

    from_check: int
    errors: float = 0.005
    slow: float = 0.035
    reward: float = 1.0
    """What is left of it."""


HEALTHY = Fault(1 << 30)


def day(number: float) -> int:
    """The number of the check with which a day begins, from 0."""
    return round(number * CHECKS_A_DAY)


@dataclass
class Guarded:
    """A running experiment and its guard."""

    scene: Scene
    experiment: Experiment
    rng: np.random.Generator
    guard: Guard = field(init=False)

    def __post_init__(self) -> None:
        self.store = PostgresGuardrails(self.scene.database)
        board, clock = self.scene.board, self.scene.clock
        trail = PostgresTrail(self.scene.database)
        self.lifecycle = Lifecycle(self.scene.experiments, trail, board, clock)
        self.guard = Guard(self.store, self.lifecycle, board, clock)

    @property
    def policies(self) -> list[str]:
        """Their names, control among them."""
        return [policy.name for policy in self.experiment.spec.policies]

    async def now(self) -> Experiment:
        """The experiment as the ledger has it."""
        return await self.scene.experiments.get(self.experiment.id)

    async def served(self) -> str:
        """How units of it stand with serving, once that has looked at the board."""
        served = await self.scene.served(self.experiment.number)
        return served.standing.name

    async def execute(self, statement: str, *arguments: object) -> None:
        """One statement."""
        async with self.scene.database.connection() as connection:
            await connection.execute(statement, *arguments)

    async def serve(self, first: int, checks: int, fault: Fault = HEALTHY) -> None:
        """Write what serving counts from one check on, for so many."""
        for policy in self.policies:
            n = checks * 5
            failing = np.arange(n) >= (fault.from_check - first) * 5
            wrong = fault if policy == "thompson" else HEALTHY
            errors = self.rng.binomial(CALLS, np.where(failing, wrong.errors, HEALTHY.errors))
            slow = self.rng.binomial(CALLS, np.where(failing, wrong.slow, HEALTHY.slow))
            await self.execute(
                _ADD_MINUTES,
                self.experiment.number,
                POLICY_NUMBERS[policy],
                CALLS,
                range(_FIRST_MINUTE + first * 5, _FIRST_MINUTE + first * 5 + n),
                errors.tolist(),
                str(bucket_of(20.0)),
                str(bucket_of(150.0)),
                slow.tolist(),
            )

    def rewarded(self, looks: Sequence[int], fault: Fault = HEALTHY) -> dict[str, Tests]:
        """Each policy's sums at these looks, from every start of a test on."""
        found = {}
        for policy in self.policies:
            effect = fault.reward if policy == "thompson" else 1.0
            stream = impressions(
                self.rng, IMPRESSIONS, looks[-1] + 1, effect=effect, from_check=fault.from_check
            )
            found[policy] = tests_of(stream, looks, EVERY_TWO_DAYS)
        return found

    async def start_tests(self, checks: int, *, from_check: int = 0) -> None:
        """Make the starts of the present guard epoch, as the statistics stage would by these checks."""
        found = await self.now()
        starts, _ = EVERY_TWO_DAYS.begun(checks * CHECK_S)
        await self.execute(
            _ADD_STARTS,
            found.number,
            found.guard_epoch,
            found.allocation_epoch,
            [_FIRST_MINUTE + from_check * 5 + start // 60 for start in starts.tolist()],
        )

    async def reward(self, tests: Mapping[str, Tests], place: int) -> None:
        """Write the sums at one look."""
        found = await self.now()
        rows = [
            (POLICY_NUMBERS[policy], number, _micro(sums[place]))
            for policy, by_start in tests.items()
            for number, sums in enumerate(by_start.values())
        ]
        columns = [list(each) for each in zip(*(sums for _, _, sums in rows), strict=True)]
        await self.execute(
            _ADD_SUMS,
            found.number,
            found.guard_epoch,
            [row[0] for row in rows],
            [row[1] for row in rows],
            *columns,
        )

        users = [round(by_start[0][place].n) for by_start in tests.values()]
        numbers = [POLICY_NUMBERS[policy] for policy in tests]
        await self.execute(_ADD_USERS, found.number, found.allocation_epoch, numbers, users)

    async def check(self, number: int) -> dict[str, StoredCheck]:
        """Let the job do what is owed right after a check's five minutes; the newest checks."""
        await self._check(number)
        return {
            each.check.guardrail: each for each in await self.store.latest(self.experiment.number)
        }

    async def _check(self, number: int) -> None:
        self.scene.clock.now_ms = START_MS + (number + 1) * CHECK_S * 1000
        while True:
            with suppress(Unavailable):  # PostgreSQL is slow for a moment: the job asks again too
                await self.guard.check_due()
                return
            await asyncio.sleep(1.0)

    async def until_rolled_back(
        self, looks: Iterable[int], tests: Mapping[str, Tests] | None = None
    ) -> int | None:
        """Check at each look until the experiment does not run any more; that look, None where it goes on."""
        for place, look in enumerate(looks):
            if tests is not None:
                await self.reward(tests, place)
            await self._check(look)
            async with self.scene.database.connection() as connection:
                state = await connection.fetchval(_STATE, self.experiment.number)
            if state != State.RUNNING:
                return look
        return None

    async def resume(self) -> None:
        """As an operator does."""
        await self.lifecycle.resume(self.experiment.id, Author("somebody", "test"))
        await self.scene.publisher.publish_due()


def failing(checks: Mapping[str, StoredCheck]) -> set[str]:
    """The guardrails that fail."""
    return {name for name, each in checks.items() if each.check.verdict is Verdict.FAIL}


def _micro(sums: Sums) -> tuple[int, ...]:
    """In millionths of a reward."""
    powers = {"n": 1, "m": 1, "c": MICRO, "mm": 1, "cc": MICRO**2, "mc": MICRO}
    return tuple(round(getattr(sums, name) * powers[name]) for name in _SUMS)


@asynccontextmanager
async def guarding(
    database_url: str,
    redis_url: str,
    *,
    policies: Sequence[str] = ("thompson", "control"),
    seed: int,
) -> AsyncIterator[Guarded]:
    """A running experiment on these servers that serving knows."""
    async with publishing(database_url, redis_url) as scene:
        created = await scene.experiments.create(_draft(policies), START_MS)
        experiment = await scene.revise(created, created.spec)
        await scene.publisher.publish_due()
        await scene.publisher.audit()
        yield Guarded(scene, experiment, np.random.default_rng(seed))


def _draft(policies: Sequence[str]) -> NewExperiment:
    new = draft("guarded")
    specs = tuple(PolicySpec(name=name, params=registry.defaults(name)) for name in policies)
    spec = replace(new.spec, policies=specs)
    return replace(new, spec=spec, buckets=allocate(policy_weights(spec)))
