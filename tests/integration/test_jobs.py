"""What goes by the clock, with a real queue."""

import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from pullarm.clock import FileClock
from pullarm.storage.postgres import Database, PostgresIntake
from tests.e2e.commands import pullarm
from tests.integration.retention_scene import DAY_MS, FIRST, RetentionScene
from tests.ledger_events import HOUR_MS, START_MS
from workers import jobs


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[RetentionScene]:
    async with Database(database_url) as database:
        yield RetentionScene(database)


def now_ms() -> int:
    return START_MS + 12 * DAY_MS + HOUR_MS


async def test_partitions_are_made_before_their_day(scene: RetentionScene) -> None:
    context = {"ledger": scene.ledger, "clock": now_ms}
    for _ in range(2):
        assert await jobs.make_partitions(context) == jobs.DAYS_AHEAD + 1
    assert [stored.day for stored in await scene.retention.days()] == [
        FIRST + timedelta(days=12 + ahead) for ahead in range(jobs.DAYS_AHEAD + 1)
    ]


async def several_days(scene: RetentionScene) -> None:
    experiment, make = await scene.experiment(), scene.make
    for day in range(5):
        await scene.fold(
            make.decision(make.token(experiment.number, at_ms=START_MS + day * DAY_MS))
        )


async def test_days_are_removed_where_it_is_asked_for(
    scene: RetentionScene, caplog: pytest.LogCaptureFixture
) -> None:
    await several_days(scene)
    removed = []
    for days in (None, 8, 9, 9):
        retention = jobs.Retention(
            store=scene.retention, intake=PostgresIntake(scene.database), days=days
        )
        context = {"retention": retention, "clock": now_ms}
        removed.append(await jobs.remove_old_days(context))
    assert removed == [0, 0, 3, 0]
    (told,) = [r.message for r in caplog.records if r.levelno == logging.ERROR]
    assert told.startswith("retention waits: retention_days: 8 are too few")


async def test_command_lists_removes_and_refuses(
    scene: RetentionScene, database_url: str, tmp_path: Path
) -> None:
    """By the platform's own clock, where it has one."""
    await several_days(scene)
    clock = tmp_path / "clock"
    FileClock.create(clock, now_ms())
    given = {"DATABASE_URL": database_url, "PULLARM_CLOCK": f"file:{clock}"}
    outcomes = []
    for arguments, days in (((), ""), (("--days", "8"), ""), (("--dry-run",), "9"), ((), "9")):
        told = given | {"PULLARM_RETENTION_DAYS": days}
        ended = await pullarm("retention", *arguments, given=told)
        assert "Traceback" not in ended.errors
        outcomes.append((ended.status, (ended.output + ended.errors).splitlines()))
    unset, too_few, listed, removed = outcomes
    assert unset == (1, ["pullarm: --days: is needed where PULLARM_RETENTION_DAYS is not set"])
    assert (too_few[0], "8 are too few" in too_few[1][0]) == (1, True)
    assert (listed[0], removed[0], listed[1][:-1]) == (0, 0, removed[1][:-1])
    assert [line[:10] for line in listed[1][:-1]] == [f"2025-10-{day}" for day in (14, 15, 16)]
    assert (listed[1][-1], removed[1][-1]) == ("3 days would be removed", "3 days removed")
    assert await scene.count("decision") == 2
