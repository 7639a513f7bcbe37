"""Who is erased from the ledger is taken out of the files of removed days."""

from pathlib import Path
from random import Random

import pytest
from pyarrow.parquet import ParquetFile

from pullarm.domain.archive import Kind
from pullarm.domain.assignment import unit_of
from pullarm.domain.audit import Author
from pullarm.domain.erasure import StandIn
from pullarm.domain.errors import ConfigurationError, Unavailable
from pullarm.domain.experiment import Aggregation
from pullarm.storage.postgres import PostgresErasure
from pullarm.storage.postgres.archive import PostgresArchive
from pullarm.storage.postgres.database import Busy
from pullarm.storage.postgres.export import PostgresExport
from replay.archive import Archive
from replay.erasing import hashed_id
from replay.log_file import log_rows
from tests.integration.archive_scene import exported, held, remove
from tests.integration.retention_scene import RetentionScene
from tests.integration.test_erasure import USERS, traces, visits
from tests.ledger_events import START_MS, Events, batch
from workers.archive import Archiving, rewrite

ADMIN = Author("admin (tok_1)", "test", "request 17")


def cells(root: Path) -> list[str]:
    """All that any file says, value by value, and of how it is made."""
    found = []
    for path in held(root):
        with ParquetFile(root / path) as file:
            found += [str(value) for column in file.read().columns for value in column.to_pylist()]
            found.append(
                str([file.metadata.row_group(n).to_dict() for n in range(file.num_row_groups)])
            )
    return found


@pytest.mark.parametrize("seed", range(3))
async def test_who_is_erased_is_taken_out_of_the_files(
    scene: RetentionScene, root: Path, seed: int
) -> None:
    """However often it is cut off; others and all numbers stay."""
    experiment, make = await scene.experiment(Aggregation.SUM), Events(Random(seed))
    events = visits(make, experiment, USERS, count=60)
    for place in range(0, len(events), 20):
        await scene.ledger.fold(batch(*events[place : place + 20]), START_MS)
    kinds = await PostgresExport(scene.database).kinds(experiment)
    before = await exported(scene, experiment, kinds)
    await remove(scene, root, 2)
    user, gone = USERS[0], unit_of(experiment.salt, USERS[0]).hash
    marks = (user, str(gone))
    assert all(any(mark in cell for cell in cells(root)) for mark in marks)
    erasure = PostgresErasure(scene.database)
    erased = await erasure.erase(experiment, user, ADMIN, START_MS)
    assert erased.archived_days == 2
    store, archive = PostgresArchive(scene.database), Archive.at(str(root))
    with pytest.raises(ConfigurationError, match="files of removed days name users"):
        await Archiving(scene.database, "").erase()
    files = await store.files()
    (pending,) = await store.erasures()
    assert await rewrite(archive, files[0], [pending])  # and killed
    assert await Archiving(scene.database, str(root)).erase() == len(files) - 1
    assert await Archiving(scene.database, str(root)).erase() == 0
    told = cells(root)
    assert [mark for mark in marks for cell in told if mark in cell] == []
    assert await traces(scene, user, gone) == []
    assert [archive.sums(file) for file in files] == [file.sums for file in files]
    logs = [file for file in files if file.kind is Kind.DECISIONS]
    pages = [page for file in logs for page in archive.log(file, kinds, None, None)]
    rows = [row for page in pages for row in log_rows(page)]
    assert len(rows) == len(before) - len(await exported(scene, experiment, kinds))
    for was, row in zip(before, rows, strict=False):
        assert (row.unit, row.decision_uid) == (
            erased.known_as if was.unit == user else was.unit,
            was.decision_uid,
        )
        assert row.rewards == was.rewards
        assert row.attributes == ({} if was.unit == user else was.attributes)
        assert row == was or was.unit == user
        assert bool(row.request_id) == bool(was.request_id)


async def test_file_that_is_missing_keeps_nobody_in_the_others(
    scene: RetentionScene, root: Path
) -> None:
    """All who were erased leave a file at once, and one process at a time sees to it."""
    first, second = [await scene.experiment() for _ in range(2)]
    make = scene.make
    for experiment in (first, second):
        for user in ("ann", "bob"):
            token = make.token(experiment.number)
            token = token._replace(unit_hash=unit_of(experiment.salt, user).hash)
            await scene.fold(make.decision(token)._replace(unit=user), make.reward(token))
    await remove(scene, root, 1)
    for experiment in (first, second):
        for user in ("ann", "bob"):
            await PostgresErasure(scene.database).erase(experiment, user, ADMIN, START_MS)
    store, archiving = PostgresArchive(scene.database), Archiving(scene.database, str(root))
    async with store.alone():
        with pytest.raises(Busy, match="another process is changing files"):
            await archiving.erase()
    assert len(await store.erasures()) == 4
    missing = root / (await store.files(first.number))[0].name
    kept = missing.rename(root / "elsewhere")
    with pytest.raises(Unavailable, match=f"{missing.name} of PULLARM_ARCHIVE"):
        await archiving.erase()
    assert {erasure.experiment for erasure in await store.erasures()} == {first.number}
    assert [cell for cell in cells(root / second.id) if cell in ("ann", "bob")] == []
    kept.rename(missing)
    assert await archiving.erase() == 1
    assert [cell for cell in cells(root) if cell in ("ann", "bob")] == []
    assert await store.erasures() == []


async def test_ids_are_hashed_as_the_ledger_hashes_them(scene: RetentionScene) -> None:
    secret = StandIn(unit="", unit_hash=0, bucket=0).secret
    ids = ("", "order 7", "größe", f"erased-{'0f' * 16}", "erased-0f")
    async with scene.database.connection() as connection:
        found = [
            await connection.fetchval("SELECT hashed_id($1, $2)", secret, each) for each in ids
        ]
    assert [hashed_id(secret, each) for each in ids] == found
