"""A running experiment of thompson and control whose users come by the day, and its judge, on a clock of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypedDict, Unpack

from pullarm.domain.audit import Author
from pullarm.domain.decision import Batch, Reason, RewardStatus, Span
from pullarm.domain.experiment import POLICY_NUMBERS, Experiment
from pullarm.domain.ports import Revision
from pullarm.domain.verdict import Criteria
from pullarm.judging import Judge
from pullarm.lifecycle import Halts, Lifecycle
from pullarm.storage.memory import MemoryBoard
from pullarm.storage.postgres import (
    Database,
    PostgresExperiments,
    PostgresLedger,
    PostgresTrail,
)
from pullarm.storage.postgres.times import at
from pullarm.storage.postgres.verdicts import PostgresVerdicts
from tests.builders import FixedClock
from tests.ledger_events import HOUR_MS, START_MS, Events, draft

DAY_MS = 24 * HOUR_MS
MATURE_MS = 25 * HOUR_MS
SETTLED_MS = 20_000
SOMEBODY = Author("somebody", "test")
CRITERIA = Criteria(min_window_days=1, max_experiment_days=3, min_events_per_policy=100)


class Rates(TypedDict, total=False):
    """Share of users that are rewarded, by policy."""

    control: float
    thompson: float


@dataclass
class Judging:
    """The experiment, number 1."""

    database: Database
    criteria: Criteria = CRITERIA
    board: Halts = field(default_factory=MemoryBoard)
    clock: FixedClock = field(default_factory=FixedClock)
    make: Events = field(default_factory=Events)
    numbered: int = 0
    users: int = 0

    def __post_init__(self) -> None:
        self.experiments = PostgresExperiments(self.database)
        self.ledger = PostgresLedger(self.database)
        self.verdicts = PostgresVerdicts(self.database)
        trail = PostgresTrail(self.database)
        self.lifecycle = Lifecycle(self.experiments, trail, self.board, self.clock)
        self.judge = Judge(self.verdicts, self.lifecycle)

    async def begin(self) -> None:
        new = draft("judged")
        spec = replace(new.spec, decision=self.criteria, duration_days=10.0)
        await self.experiments.create(replace(new, spec=spec), START_MS)
        await self.lifecycle.start("judged", SOMEBODY)

    async def now(self) -> Experiment:
        return await self.lifecycle.find("judged")

    async def revise(self, change: Revision) -> Experiment:
        return await self.experiments.revise(await self.now(), change, self.clock())

    def at_day(self, days: float) -> datetime:
        """Set the clock to so many days and a little after the start, when as many less 25 hours have matured."""
        self.clock.now_ms = START_MS + round(days * DAY_MS) + MATURE_MS + SETTLED_MS
        return at(self.clock.now_ms)

    async def visit(
        self, day: int, users: int = 200, *, lost: int = 0, epoch: int = 1, **rates: Unpack[Rates]
    ) -> None:
        """So many new users of each policy on a day from 0, three serves each; `lost` of thompson's never come."""
        decisions, rewards = [], []
        for policy, rate in {"control": 0.2, "thompson": 0.2, **rates}.items():
            number = POLICY_NUMBERS[policy]
            for user in range(users - (lost if policy == "thompson" else 0)):
                for serve in range(3):
                    token = self.make.token(
                        1, at_ms=START_MS + day * DAY_MS + serve * HOUR_MS, acting=number
                    )
                    unit = (self.users + user) * 8 + number
                    token = token._replace(unit_hash=unit, allocation_epoch=epoch)
                    decisions.append(self.make.decision(token))
                    if (user * 7 + serve) % 20 < 20 * float(str(rate)):
                        rewards.append(self.make.reward(token))
        self.users += users
        await self.ledger.fold(Batch(decisions, rewards, []), self.clock())

    async def ask_before(self, users: int = 200, *, days: float = 2.0, late: bool = False) -> None:
        """Those who come to each policy with the next visit ask three times in the draft so many days before the start,
        and are paid as often as by a rate of 0.3; `late` has them paid after the start."""
        decisions, rewards = [], []
        after_ms = round((days + 1) * DAY_MS) if late else HOUR_MS
        for policy in ("control", "thompson"):
            for user in range(users):
                for serve in range(3):
                    token = self.make.token(
                        1,
                        at_ms=START_MS - round(days * DAY_MS) + serve,
                        acting=0,
                        reason=Reason.NOT_RUNNING,
                    )
                    unit = (self.users + user) * 8 + POLICY_NUMBERS[policy]
                    token = token._replace(unit_hash=unit)
                    decisions.append(self.make.decision(token))
                    if (user * 7 + serve) % 20 < 6:
                        status = RewardStatus.NOT_IN_EXPERIMENT
                        rewards.append(self.make.reward(token, status=status, after_ms=after_ms))
        await self.ledger.fold(Batch(decisions, rewards, []), self.clock())

    async def say_complete(self) -> None:
        """All there is has come, as of now: the one serving process says so."""
        until = Span("serving-0", self.numbered, self.numbered + 1, self.clock(), spooled=False)
        self.numbered += 1
        decision = self.make.decision(self.make.token(1, at_ms=self.clock(), acting=0))
        await self.ledger.fold(Batch([decision], [], [], spans=(until,)), self.clock())

    async def execute(self, statement: str, *arguments: object) -> None:
        async with self.database.connection() as connection:
            await connection.execute(statement, *arguments)


@asynccontextmanager
async def judging(database_url: str, criteria: Criteria = CRITERIA) -> AsyncIterator[Judging]:
    """The experiment, started."""
    async with Database(database_url) as database:
        scene = Judging(database, criteria)
        await scene.begin()
        yield scene
