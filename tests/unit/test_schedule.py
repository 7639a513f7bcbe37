"""Experiments start and end when they are scheduled to, also those whose time came while nobody looked."""

import logging
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from pullarm.domain.audit import Author
from pullarm.domain.experiment import Experiment, State
from pullarm.lifecycle import Draft, Lifecycle
from pullarm.storage.memory import MemoryBoard, MemoryExperiments, MemoryTrail
from pullarm.storage.memory.experiments import at
from tests.builders import FixedClock
from tests.ledger_events import START_MS, draft
from workers.schedule import Schedule

START = at(START_MS)
DAY = timedelta(days=1)
ANN = Author("ann", "test")


@dataclass
class Plans:
    """A schedule over stores in memory, and what can be done to them."""

    clock: FixedClock = field(default_factory=FixedClock)
    board: MemoryBoard = field(default_factory=MemoryBoard)
    trail: MemoryTrail = field(default_factory=MemoryTrail)

    def __post_init__(self) -> None:
        self.experiments = MemoryExperiments(self.trail)
        self.lifecycle = Lifecycle(self.experiments, self.trail, self.board, self.clock)
        self.schedule = Schedule(self.experiments, self.lifecycle, self.clock)

    async def planned(self, *arms: str, **fields: Any) -> str:
        """The id of a new draft."""
        new = draft("a", arms=arms)
        planned = Draft(key=None, spec=replace(new.spec, **fields), arms=new.arms)
        return (await self.lifecycle.create(planned, ANN)).id

    async def after(self, passed: timedelta, reference: str) -> Experiment:
        """The experiment once the schedule has looked at this moment."""
        self.clock.now_ms = START_MS + round(passed.total_seconds() * 1000)
        await self.schedule.keep()
        return await self.experiments.get(reference)


@pytest.fixture
def plans() -> Plans:
    return Plans()


async def test_starts_and_ends_when_its_time_has_come(plans: Plans) -> None:
    reference = await plans.planned("one", start_at=START + DAY, duration_days=2.0)
    assert (await plans.after(DAY - timedelta(seconds=1), reference)).state is State.DRAFT
    started = await plans.after(DAY, reference)
    assert (started.state, started.started_at) == (State.RUNNING, START + DAY)
    assert (await plans.after(3 * DAY - timedelta(seconds=1), reference)) == started
    ended = await plans.after(3 * DAY, reference)
    assert (ended.state, ended.end_at) == (State.STOPPED, START + 3 * DAY)
    assert (await plans.board.versions([ended.number]))[ended.number].halt == "stopped"
    told = await plans.trail.page(None, before=None, count=2)
    assert [(each.action, each.actor) for each in told] == [
        ("stop", "schedule"),
        ("start", "schedule"),
    ]


async def test_what_was_missed_is_caught_up(plans: Plans) -> None:
    reference = await plans.planned("one", start_at=START + DAY, duration_days=2.0)
    late = await plans.after(9 * DAY, reference)
    assert (late.state, late.started_at) == (State.RUNNING, START + 9 * DAY)
    assert (await plans.after(99 * DAY, reference)).state is State.STOPPED


async def test_what_would_have_ended_by_now_is_not_started_and_told_once(
    plans: Plans, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    reference = await plans.planned("one", start_at=START + DAY, end_at=START + 2 * DAY)
    for days in (3, 4):
        assert (await plans.after(days * DAY, reference)).state is State.DRAFT
    assert caplog.text.count("which has passed") == 1


async def test_one_that_cannot_start_keeps_no_other_from_it(plans: Plans) -> None:
    empty = await plans.planned(start_at=START + DAY)
    other = await plans.planned("one", start_at=START + DAY)
    assert (await plans.after(DAY, other)).state is State.RUNNING
    assert (await plans.experiments.get(empty)).state is State.DRAFT
