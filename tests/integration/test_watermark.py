"""What verdicts are made on: a fold, and up to when it has all events, whoever is gone and whatever was restored."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pullarm.clock import FileClock
from pullarm.domain.audit import Author
from pullarm.domain.decision import Batch, Span
from pullarm.domain.intake import SETTLE_MS, Cut, Intake
from pullarm.storage.postgres import (
    Database,
    PostgresExperiments,
    PostgresIntake,
    PostgresLedger,
    PostgresPublications,
)
from pullarm.storage.postgres.times import at
from tests.e2e.commands import pullarm
from tests.ledger_events import START_MS, Events, draft
from workers import jobs

DAY_MS = 24 * 3_600_000
AUTHOR = Author(actor="anna", origin="test", note="its machine burnt down")


class Scene:
    """A ledger with one experiment, number 1 of its folds at START_MS."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.ledger = PostgresLedger(database)
        self.intake = PostgresIntake(database)
        self.make = Events()
        self.number = 0

    async def begin(self) -> None:
        new = await PostgresExperiments(self.database).create(draft("a"), START_MS)
        self.number = new.number

    async def fold(self, *spans: Span, now_ms: int = START_MS) -> None:
        decision = self.make.decision(self.make.token(self.number))
        await self.ledger.fold(Batch([decision], [], [], spans=spans), now_ms)

    async def cut(self, as_of_ms: int = START_MS) -> Cut:
        return await self.intake.cut(self.number, at(as_of_ms))

    async def only(self) -> Intake:
        (life,) = await self.ledger.intake()
        return life

    async def new_life(self) -> None:
        publications = PostgresPublications(self.database)
        assert await publications.reopen(await publications.incarnation(), START_MS)


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    async with Database(database_url) as database:
        scene = Scene(database)
        await scene.begin()
        yield scene


def said(process: str, first: int, end: int, until_s: int) -> Span:
    return Span(process, first, end, START_MS + until_s * 1_000, spooled=False)


def moment(after_s: int) -> datetime:
    """What has come, as the ledger can tell it, where a process said that all of this second is stored."""
    return at(START_MS + after_s * 1_000 - SETTLE_MS)


async def test_cut_is_a_fold_with_the_watermark_of_all_processes(scene: Scene) -> None:
    assert await scene.cut() == Cut(fold_no=0, watermark=None, as_of=at(START_MS))
    await scene.fold(said("a", 0, 4, 60), said("b", 0, 2, 40))
    cut = await scene.cut()
    assert cut == Cut(fold_no=1, watermark=moment(40), as_of=at(START_MS), process="b")
    assert cut.complete_until(moment(40))
    await scene.fold(said("b", 2, 2, 90))  # it has nothing new
    assert await scene.cut() == Cut(
        fold_no=2, watermark=moment(60), as_of=at(START_MS), process="a"
    )


async def test_cut_that_is_kept_stands(scene: Scene) -> None:
    await scene.fold(said("a", 0, 4, 60))
    assert await scene.intake.kept_cut(scene.number, "day 1") is None
    first = await scene.cut()
    assert await scene.intake.keep_cut(scene.number, "day 1", first) == first
    await scene.fold(said("a", 4, 8, 120))
    later = await scene.cut(START_MS + 1)
    assert await scene.intake.keep_cut(scene.number, "day 1", later) == first
    assert await scene.intake.keep_cut(scene.number, "day 2", later) == later != first
    assert await scene.intake.kept_cut(scene.number, "day 1") == first


async def test_what_a_new_life_of_the_ledger_never_hears_of_holds_nothing_back(
    scene: Scene,
) -> None:
    """It was put back: `gone` ended in the time that was lost, and `a` went on numbering."""
    await scene.fold(said("gone", 0, 5, 10), said("a", 0, 4, 20))
    await scene.new_life()
    assert (await scene.cut()).process == ""
    await scene.fold(said("a", 90, 90, 100))
    assert await scene.cut() == Cut(
        fold_no=2, watermark=moment(100), as_of=at(START_MS), process="a"
    )
    await scene.fold(said("a", 93, 95, 110))  # what it numbers from now on is waited for
    assert (await scene.cut()).watermark == moment(100)
    await scene.fold(said("a", 90, 93, 105))
    assert (await scene.cut()).watermark == moment(110)
    lives = {life.process: (life.missing, life.lost) for life in await scene.ledger.intake()}
    assert lives == {"a": (0, 86), "gone": (0, 0)}


async def test_process_is_given_up_by_name_until_it_is_heard_of(scene: Scene) -> None:
    await scene.fold(said("a", 0, 4, 20), said("a", 9, 12, 50))
    assert not await scene.intake.dismiss("b", AUTHOR, at(START_MS))
    assert (await scene.cut()).process == "a"
    assert await scene.intake.dismiss("a", AUTHOR, at(START_MS))
    life = await scene.only()
    assert (life.missing, life.lost, life.waited_for) == (0, 5, False)
    assert await scene.cut() == Cut(fold_no=1, watermark=moment(50), as_of=at(START_MS))
    async with scene.database.connection() as connection:
        row = await connection.fetchrow("SELECT * FROM audit WHERE action = 'give_up'")
    assert row is not None
    assert (row["actor"], row["after"]) == ("anna", {"process": "a", "note": AUTHOR.note})
    await scene.fold(said("a", 5, 7, 30))  # its spool is found after all
    life = await scene.only()
    assert (life.missing, life.lost, life.waited_for) == (0, 3, True)


async def test_commands_tell_it_and_give_up_who_holds_it_back(
    scene: Scene, database_url: str, tmp_path: Path
) -> None:
    await scene.fold(said("a", 0, 4, 20), said("a", 9, 12, 50))
    FileClock.create(tmp_path / "clock", START_MS + 200_000)
    given = {"DATABASE_URL": database_url, "PULLARM_CLOCK": f"file:{tmp_path / 'clock'}"}
    told = await pullarm("verify", given=given)
    assert (told.status, "a: 5 of 12 events have not come" in told.output) == (0, True)
    assert (
        "all events before 2025-10-14 00:00:05 UTC have come, 195 s ago; a holds it" in told.output
    )
    unknown = await pullarm("give-up", "b", given=given)
    assert (unknown.status, "no serving process is known as 'b'" in unknown.errors) == (1, True)
    done = await pullarm("give-up", "a", "--note", "gone", given=given)
    assert (done.status, done.output) == (0, "a is not waited for any more\n")
    told = await pullarm("verify", given=given)
    assert "a: 5 of 12 events are lost" in told.output
    assert "holds it back" not in told.output


async def test_processes_are_forgotten_once_nothing_of_them_can_come(scene: Scene) -> None:
    await scene.fold(Span("old", 0, 5), Span("holey", 3, 5), now_ms=START_MS)
    await scene.fold(Span("young", 0, 5), now_ms=START_MS + 3 * DAY_MS)
    found = []
    for days, now in ((None, 7), (None, 8), (30, 11), (None, 11)):
        retention = jobs.Retention.of(scene.database, days)
        now_ms = START_MS + now * DAY_MS
        context = {"retention": retention, "clock": lambda now_ms=now_ms: now_ms}
        await jobs.forget_lives(context)
        found.append([life.process for life in await scene.ledger.intake()])
    assert found == [["holey", "old", "young"], ["holey", "young"], ["holey", "young"], ["holey"]]


async def test_process_that_is_silent_for_long_holds_nothing_back(scene: Scene) -> None:
    await scene.fold(said("gone", 3, 5, 10))
    later_ms = START_MS + 8 * DAY_MS
    await scene.fold(said("a", 0, 4, 8 * 86_400), now_ms=later_ms)
    assert (await scene.cut(later_ms - 2 * DAY_MS)).process == "gone"
    cut = await scene.cut(later_ms)
    assert cut.process == "a"
    assert cut.watermark is not None
    assert cut.as_of - cut.watermark == timedelta(milliseconds=SETTLE_MS)
