"""What leaves the ledger is in files first, whole and checked; and whoever is erased is in neither."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from random import Random
from resource import RLIMIT_FSIZE, getrlimit, setrlimit

import pyarrow as pa
import pytest

from cli.export import Sources, pages
from pullarm.domain.archive import ArchivedFile, Kind, Sums
from pullarm.domain.audit import Author
from pullarm.domain.errors import ConfigurationError, Conflict, Unavailable
from pullarm.domain.experiment import Aggregation, Exposure
from pullarm.domain.rebuild import Exclusion
from pullarm.environment import NO_ARCHIVE
from pullarm.storage.log_columns import schema
from pullarm.storage.postgres import PostgresRepair
from pullarm.storage.postgres.archive import PostgresArchive, midnight, reward_schema
from pullarm.storage.postgres.export import PostgresExport
from pullarm.storage.postgres.times import at
from replay.archive import Archive
from replay.check_log import LogCheck
from replay.log_file import log_rows
from tests.integration.archive_scene import KINDS, exported, held, remove
from tests.integration.retention_scene import DAY_MS, FIRST, RetentionScene
from tests.ledger_events import START_MS
from workers.archive import Archiving, write

ADMIN = Author("admin (tok_1)", "test", "request 17")


async def test_files_and_rows_that_are_left_are_what_would_have_been_exported(
    scene: RetentionScene, root: Path
) -> None:
    """Over every aggregation and exposure; with every call of a reward, and each number that the manifest has."""
    random = Random(8)
    experiments = [await scene.experiment(a, e) for a in Aggregation for e in Exposure]
    numbers = [experiment.number for experiment in experiments]
    for day in range(3):
        await scene.eventful_day(numbers, day, random)
    before = [await exported(scene, experiment) for experiment in experiments]
    of_days = "reward WHERE uid < uid_floor($1)"
    calls = await scene.count(of_days, midnight(FIRST + timedelta(days=2)))
    await remove(scene, root, 2)
    archive, store = Archive.at(str(root)), PostgresArchive(scene.database)
    for experiment, rows in zip(experiments, before, strict=True):
        files = [f for f in await store.files(experiment.number) if f.kind is Kind.DECISIONS]
        pages = [page for file in files for page in archive.log(file, KINDS, None, None)]
        kept = [row for page in pages for row in log_rows(page)]
        assert kept + await exported(scene, experiment) == rows
        assert len(kept) > 3
        assert list(LogCheck().check(kept)) == []
    files = await store.files()
    assert {file.name for file in files} == {str(path) for path in held(root)}
    assert [archive.sums(file) for file in files] == [file.sums for file in files]
    assert len({file.sums.checksum for file in files}) == len(files)
    assert sum(file.sums.rows for file in files if file.kind is Kind.REWARDS) == calls > 20
    assert [await scene.verify(number) for number in numbers] == [[]] * len(numbers)
    assert await store.reach() == (FIRST + timedelta(days=1), None, True)


async def test_days_that_are_removed_while_they_are_exported_are_exported_whole(
    scene: RetentionScene, root: Path
) -> None:
    experiment, make = await scene.experiment(), scene.make
    moments = [START_MS + day * DAY_MS + place for day in range(3) for place in range(6)]
    for at_ms in moments:
        await scene.fold(make.decision(make.token(experiment.number, at_ms=at_ms)))
    due = [row.decision_uid for row in await exported(scene, experiment)]
    store, log = PostgresArchive(scene.database), PostgresExport(scene.database, page_decisions=1)
    root.mkdir()
    for archive in (Archive.at(str(root)), None):
        found = list[str]()
        async for page in pages(Sources(log, store, archive), experiment, KINDS, (None, None)):
            found += page["decision_uid"].to_pylist()
            if archive is not None and len(found) in (2, 9):  # of the first day, and of the second
                day = FIRST + timedelta(days=len(found) // 6)
                archived = await Archiving(scene.database, str(root)).keep(day)
                await scene.retention.remove(day, START_MS, archived)
        assert found == (due if archive is not None else due[12:])


async def test_rewards_are_told_call_by_call(scene: RetentionScene, root: Path) -> None:
    """Also those of a decision that never came."""
    experiment, make = await scene.experiment(), scene.make
    token = make.token(experiment.number, arms=[2, 1])
    calls = [make.reward(token, slot=2, credit=0.25, reward_id=each) for each in ("a", "a", "b")]
    lone = make.token(experiment.number)
    await scene.fold(make.decision(token), *calls, make.reward(lone))
    await remove(scene, root, 1)
    (file,) = [f for f in await PostgresArchive(scene.database).files() if f.kind is Kind.REWARDS]
    table = pa.Table.from_batches(Archive.at(str(root)).batches(file))
    rows = [row for row in table.to_pylist() if row["decision_uid"] == token.uid.hex()]
    assert sorted(row["reward_id"] for row in rows) == ["a", "a", "b"]
    assert {(row["arm_id"], row["credit"], row["status"], row["unit"]) for row in rows} == {
        ("one", 0.25, "ACCEPTED", "user")
    }
    (other,) = [row for row in table.to_pylist() if row not in rows]
    assert (other["decision_uid"], other["unit"], other["arm_no"]) == (lone.uid.hex(), None, 1)


async def test_day_stays_while_it_cannot_be_archived_and_goes_once_it_can(
    scene: RetentionScene, root: Path
) -> None:
    """What a killed process left is written over."""
    experiment, make = await scene.experiment(), scene.make
    await scene.fold(make.decision(make.token(experiment.number)))
    root.write_text("no folder")
    with pytest.raises(Unavailable, match=r"decisions-2025-10-14\.parquet of PULLARM_ARCHIVE"):
        await remove(scene, root, 1)
    assert await scene.count("decision") == 1
    root.unlink()
    (root / experiment.id).mkdir(parents=True)
    final = root / experiment.id / f"decisions-{FIRST}.parquet"
    for path in (final, final.with_name(f"{final.name}.part")):
        path.write_text("cut off")
    await scene.retention.seal(FIRST, START_MS)
    for _ in range(2):
        assert await Archiving(scene.database, str(root)).keep(FIRST) is not None
        assert await PostgresArchive(scene.database).files() == []  # until it is removed
    await remove(scene, root, 1)
    assert held(root) == [final.relative_to(root)]
    assert final.stat().st_mode & 0o007 == 0
    assert await scene.count("decision") == 0
    (file,) = await PostgresArchive(scene.database).files()
    assert Archive.at(str(root)).sums(file) == file.sums == (1, file.sums.checksum)


async def test_file_that_is_not_what_the_ledger_has_is_not_left(
    scene: RetentionScene, root: Path
) -> None:
    experiment, make = await scene.experiment(), scene.make
    await scene.fold(token := make.token(experiment.number), make.reward(token))
    store = PostgresArchive(scene.database)
    due = await store.sums(experiment.number, FIRST, Kind.REWARDS, KINDS)
    for wrong in (Sums(2, due.checksum), Sums(1, due.checksum + 1)):
        file = ArchivedFile(
            experiment=experiment.number,
            experiment_id=experiment.id,
            day=FIRST,
            kind=Kind.REWARDS,
            sums=wrong,
        )
        pages = store.rewards(experiment, FIRST)
        with pytest.raises(Conflict, match="it stays as it is, and so does its day"):
            await write(Archive.at(str(root)), file, reward_schema(), pages)
        assert held(root) == []


async def test_of_two_who_write_a_file_neither_puts_the_others_half_in_place(
    scene: RetentionScene, root: Path
) -> None:
    """As where one of them lost its lock together with PostgreSQL, and does not know."""
    experiment, make = await scene.experiment(), scene.make
    await scene.fold(token := make.token(experiment.number), make.reward(token))
    store, archive = PostgresArchive(scene.database), Archive.at(str(root))
    pages = [page async for page in store.rewards(experiment, FIRST)]
    file = ArchivedFile(
        experiment=experiment.number,
        experiment_id=experiment.id,
        day=FIRST,
        kind=Kind.REWARDS,
        sums=await store.sums(experiment.number, FIRST, Kind.REWARDS, KINDS),
    )
    first, second = (archive.writing(file, reward_schema()) for _ in range(2))
    first.open()
    first.write(pages[0])
    first.finish()
    assert list(first.sums()) == [file.sums]
    second.open()
    with pytest.raises(Unavailable, match=r"rewards-2025-10-14\.parquet of PULLARM_ARCHIVE"):
        first.put()
    first.close()
    second.write(pages[0])
    second.finish()
    second.put()
    second.close()
    assert [str(path) for path in held(root)] == [file.name]
    assert archive.sums(file) == file.sums


async def test_what_cannot_be_written_leaves_nothing(scene: RetentionScene, root: Path) -> None:
    """As on a full disk, or by a worker that is stopped."""
    experiment, make = await scene.experiment(), scene.make
    await scene.fold(make.decision(make.token(experiment.number)))
    sums = await PostgresArchive(scene.database).sums(
        experiment.number, FIRST, Kind.DECISIONS, KINDS
    )
    file = ArchivedFile(
        experiment=experiment.number,
        experiment_id=experiment.id,
        day=FIRST,
        kind=Kind.DECISIONS,
        sums=sums,
    )
    pages = PostgresExport(scene.database).pages(experiment, KINDS)
    was = getrlimit(RLIMIT_FSIZE)
    setrlimit(RLIMIT_FSIZE, (1000, was[1]))
    try:
        with pytest.raises(Unavailable, match=r"decisions-2025-10-14\.parquet of PULLARM_ARCHIVE"):
            await write(Archive.at(str(root)), file, schema(KINDS), pages)
    finally:
        setrlimit(RLIMIT_FSIZE, was)
    assert held(root) == []
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[pa.Table]:
        async for page in PostgresExport(scene.database).pages(experiment, KINDS):
            yield page
        begun.set()
        await asyncio.Event().wait()

    writing = asyncio.create_task(write(Archive.at(str(root)), file, schema(KINDS), endless()))
    await begun.wait()
    writing.cancel()
    await asyncio.wait([writing])
    assert (writing.cancelled(), held(root)) == (True, [])


async def test_rebuild_after_a_day_was_archived_has_it_archived_again(
    scene: RetentionScene, root: Path
) -> None:
    """It changes what a file says was left out."""
    experiment, make = await scene.experiment(), scene.make
    await scene.fold(make.decision(make.token(experiment.number, acting=0)))
    await scene.retention.seal(FIRST, START_MS)
    archiving = Archiving(scene.database, str(root))
    archived = await archiving.keep(FIRST)
    left_out = Exclusion(from_at=midnight(FIRST), to_at=midnight(FIRST + timedelta(days=1)))
    repair = PostgresRepair(scene.database)
    await repair.rebuild(experiment.number, left_out, ADMIN, midnight(FIRST))
    with pytest.raises(Conflict, match="archived again at the next try: a rebuild came"):
        await scene.retention.remove(FIRST, START_MS, archived)
    assert await scene.count("decision") == 1
    await remove(scene, root, 1)
    (file,) = await PostgresArchive(scene.database).files()
    (page,) = Archive.at(str(root)).log(file, KINDS, None, None)
    assert page["excluded"].to_pylist() == [True]


async def test_reach_is_told_of_rows_without_files(scene: RetentionScene) -> None:
    experiment, make = await scene.experiment(), scene.make
    export, store = PostgresExport(scene.database), PostgresArchive(scene.database)
    for day in range(2):
        await scene.fold(
            make.decision(make.token(experiment.number, at_ms=START_MS + day * DAY_MS))
        )
    assert await store.reach() == (None, None, False)
    await scene.retention.remove(FIRST, START_MS)
    assert await store.reach() == (FIRST, FIRST, False)
    (page,) = [p async for p in export.pages(experiment, [])]
    assert page["decided_at"].to_pylist() == [at(START_MS + DAY_MS)]


async def test_nobody_stops_archiving_by_mistake(scene: RetentionScene, root: Path) -> None:
    experiment, make = await scene.experiment(), scene.make
    for day in range(2):
        token = make.token(experiment.number, at_ms=START_MS + day * DAY_MS)
        await scene.fold(make.decision(token))
    assert await Archiving(scene.database, "").keep(FIRST) is None
    await remove(scene, root, 1)
    with pytest.raises(Conflict, match="PULLARM_ARCHIVE is not set: set it, or to 'none'"):
        await Archiving(scene.database, "").keep(FIRST + timedelta(days=1))
    assert await Archiving(scene.database, NO_ARCHIVE).keep(FIRST + timedelta(days=1)) is None
    await scene.retention.remove(FIRST + timedelta(days=1), START_MS)
    reach = await PostgresArchive(scene.database).reach()
    assert reach == (FIRST + timedelta(days=1), FIRST + timedelta(days=1), False)
    with pytest.raises(ConfigurationError, match="pyarrow takes no such address"):
        await Archiving(scene.database, "nonsense://bucket/folder").keep(FIRST)
