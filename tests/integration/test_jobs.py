"""What goes by the clock, with a real queue."""

import logging
from datetime import timedelta
from pathlib import Path

import pytest

from pullarm.clock import FileClock
from pullarm.domain.assignment import unit_of
from pullarm.domain.audit import Author
from pullarm.storage.postgres import PostgresErasure
from tests.e2e.commands import pullarm
from tests.integration.retention_scene import DAY_MS, FIRST, RetentionScene
from tests.ledger_events import HOUR_MS, START_MS
from workers import jobs


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
        retention = jobs.Retention.of(scene.database, days)
        context = {"retention": retention, "clock": now_ms}
        removed.append(await jobs.remove_old_days(context))
    assert removed == [0, 0, 3, 0]
    (told,) = [r.message for r in caplog.records if r.levelno == logging.ERROR]
    assert told.startswith("retention waits: retention_days: 8 are too few")


async def test_day_that_cannot_be_archived_is_told_wherever_somebody_looks(
    scene: RetentionScene, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    await several_days(scene)
    archive = tmp_path / "archive"
    archive.write_text("no folder")
    retention = jobs.Retention.of(scene.database, 9, str(archive))
    context = {"retention": retention, "clock": now_ms}
    for _ in range(2):
        assert await jobs.remove_old_days(context) == 0
    assert (retention.removed.failures, retention.removed.days) == (2, 0)
    assert "decisions-2025-10-14.parquet of PULLARM_ARCHIVE cannot be read" in caplog.text
    assert await scene.count("alert WHERE key = 'retention retention waits'") == 1
    assert await scene.count("decision") == 5
    archive.unlink()
    async with scene.retention.alone():  # as by a run that takes longer than an hour
        assert await jobs.remove_old_days(context) == 0
    assert await jobs.remove_old_days(context) == 3
    assert (retention.removed.failures, retention.removed.days) == (2, 3)
    assert len(list(archive.rglob("*.parquet"))) == 3


async def test_erased_users_are_taken_out_of_files_by_the_clock(
    scene: RetentionScene, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    experiment, make = await scene.experiment(), scene.make
    token = make.token(experiment.number)._replace(unit_hash=unit_of(experiment.salt, "ann").hash)
    await scene.fold(make.decision(token)._replace(unit="ann"))
    retention = jobs.Retention.of(scene.database, 9, str(tmp_path))
    context = {"retention": retention, "clock": now_ms}
    assert await jobs.remove_old_days(context) == 1
    author = Author("admin (tok_1)", "test", "")
    await PostgresErasure(scene.database).erase(experiment, "ann", author, now_ms())
    lacking = {"retention": jobs.Retention.of(scene.database, 9), "clock": now_ms}
    assert await jobs.erase_archived(lacking) == 0
    assert "erased users are still in the archive: files of removed days name" in caplog.text
    assert await jobs.erase_archived(context) == 1
    assert await jobs.erase_archived(context) == 0
    assert await scene.count("archive_erasure") == 0


async def test_command_archives_and_reads_what_it_archived(
    scene: RetentionScene, database_url: str, tmp_path: Path
) -> None:
    """A log of removed days and of those that are there is the log of all."""
    await several_days(scene)
    key, clock = "key-1", tmp_path / "clock"
    FileClock.create(clock, now_ms())
    given = {
        "DATABASE_URL": database_url,
        "PULLARM_ARCHIVE": str(tmp_path / "archive"),
        "PULLARM_CLOCK": f"file:{clock}",
    }

    async def ran(*arguments: str, fails: bool = False) -> str:
        ended = await pullarm(*arguments, given=given)
        assert (ended.status, "Traceback" in ended.errors) == (int(fails), False), ended.errors
        return ended.output + ended.errors

    logs = [tmp_path / f"{name}.csv" for name in ("before", "after", "some")]
    await ran("export", key, "--out", str(logs[0]))
    assert "3 days removed" in await ran("retention", "--days", "9")
    assert "5 rows" in await ran("export", key, "--out", str(logs[1]))
    span = ("--since", "2025-10-15", "--until", "2025-10-17T02:00+02:00")
    await ran("export", key, "--out", str(logs[2]), *span)
    before, after, some = (log.read_text().splitlines() for log in logs)
    assert after == before
    assert some == [before[0], *before[2:4]]
    listed = (await ran("archive", "list", key)).splitlines()
    assert listed[0].startswith("exp_key-1/decisions-2025-10-14.parquet  1 rows")
    assert listed[-1] == "3 files"
    assert "3 files, 3 rows: clean" in await ran("archive", "verify")
    first, second, _ = sorted(tmp_path.rglob("*.parquet"))
    await ran("replay", "load", "--log", str(first), "--out", str(tmp_path / "loaded"))
    first.write_bytes(first.read_bytes()[:-9])
    second.unlink()
    assert "3 files, 3 rows: 2 differ" in await ran("archive", "verify", fails=True)
    assert "2 files deleted" in await ran("archive", "forget", "--before", "2025-10-16")
    assert "1 files, 1 rows: clean" in await ran("archive", "verify")
    del given["PULLARM_ARCHIVE"]
    assert await ran("export", key, "--out", str(logs[2])) == (
        "from 2025-10-17 on: retention removed what was decided before, and PULLARM_ARCHIVE is not set\n"
        "2 rows\n"
    )


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
