"""A ledger is put back to what its backup has, all or nothing, by PostgreSQL's own programs."""

import stat
from pathlib import Path

import asyncpg
import pytest

from cli.backup import backup
from cli.postgres_tools import ToolFailed, Tools, find_tools
from cli.restore import restore
from pullarm.domain.errors import Conflict, InvalidInput, NotFound
from pullarm.storage.postgres import Database
from pullarm.storage.postgres.retention import PostgresRetention
from pullarm.storage.postgres.times import at
from tests.integration.retention_scene import DAY_MS, FIRST, RetentionScene
from tests.ledger_events import START_MS
from tests.services import execute, fresh_database

NOW = at(START_MS + 9 * DAY_MS)


async def test_backup_is_restored_into_an_empty_database(
    scene: RetentionScene,
    database_url: str,
    services: dict[str, str],
    tmp_path: Path,
) -> None:
    """One that no migration has touched: posterior, opening balances, past and sealed days come along."""
    experiment, make = await scene.experiment(), scene.make
    tokens = [make.token(experiment.number, at_ms=START_MS + day * DAY_MS) for day in range(3)]
    for token in tokens:
        await scene.fold(make.decision(token), make.reward(token))
        await scene.publish(experiment.number)
    await PostgresRetention(scene.database).remove(FIRST, START_MS)
    posterior = await scene.ledger.posterior(experiment.number)
    assert backup(database_url, tmp_path) > 1_000
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    async with fresh_database(services["DATABASE_URL"], "template1") as url:
        found = await restore(url, file, NOW, force=False)
        assert (found.experiments, found.folded_at) == (1, at(START_MS))
        assert found.incarnation != await scene.publications.incarnation()
        async with Database(url) as database:
            again = RetentionScene(database)
            assert await again.publications.incarnation() == found.incarnation
            assert await again.ledger.posterior(experiment.number) == posterior
            assert await again.verify(experiment.number) == []
            assert await again.history.posterior(experiment.number, 3) == {(2, 1): (3, 3_000_000)}
            assert (await again.history.logged(tokens[1].uid)).token == tokens[1]
            with pytest.raises(NotFound, match="retention removed the days up to 2025-10-14"):
                await again.history.logged(tokens[0].uid)
            await again.fold(make.decision(make.token(experiment.number, at_ms=START_MS + DAY_MS)))
            assert await again.verify(experiment.number) == []
            assert await again.publish(experiment.number) > 1_000_000_000


async def test_ledger_in_use_is_replaced_only_by_force_and_whatever_it_has(
    scene: RetentionScene, database_url: str, tmp_path: Path
) -> None:
    """While it is open: partitions, tables and rows that came since are gone, and its pool goes on."""
    experiment, make = await scene.experiment(), scene.make
    await scene.fold(make.decision(make.token(experiment.number)))
    backup(database_url, tmp_path / "a.dump")
    for day in range(3):
        await scene.fold(
            make.decision(make.token(experiment.number, at_ms=START_MS + day * DAY_MS))
        )
    later = await scene.experiment()
    await scene.execute("CREATE TABLE of_a_newer_version (n integer)")
    with pytest.raises(Conflict, match="give --force to replace it"):
        await restore(database_url, tmp_path / "a.dump", NOW, force=False)
    assert await scene.count("decision") == 4
    await restore(database_url, tmp_path / "a.dump", NOW, force=True)
    assert await scene.count("decision") == 1
    assert await scene.count("pg_class WHERE relname = 'of_a_newer_version'") == 0
    assert await scene.verify(experiment.number) == []
    assert (await scene.experiment()).number > later.number + 1_000


async def test_file_that_is_no_backup_of_this_version_changes_nothing(
    scene: RetentionScene, database_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    await scene.experiment()
    none, other, newer = tmp_path / "none", tmp_path / "other", tmp_path / "newer"
    none.write_text("nothing of the kind")
    backup(empty_database_url, other)
    await scene.execute("INSERT INTO migration VALUES ('9999_newer', now())")
    backup(database_url, newer)
    for file, said in (
        (none, "is no backup: pg_restore failed"),
        (other, "is a backup of something else"),
        (newer, "is of a newer Pullarm, which has 9999_newer"),
    ):
        with pytest.raises(InvalidInput, match=said):
            await restore(database_url, file, NOW, force=True)
    assert await scene.count("experiment") == 1


async def test_restore_that_fails_half_way_changes_nothing(
    scene: RetentionScene, database_url: str, tmp_path: Path
) -> None:
    """The file is damaged in the middle of its rows; and a statement is refused."""
    experiment, make = await scene.experiment(), scene.make
    tokens = [make.token(experiment.number) for _ in range(3_000)]
    await scene.fold(*map(make.decision, tokens))
    was = await scene.publications.incarnation()
    whole, damaged = tmp_path / "whole", tmp_path / "damaged"
    size = backup(database_url, whole)
    content = bytearray(whole.read_bytes())
    content[size // 2 : size // 2 + 100] = bytes(100)
    damaged.write_bytes(content)
    # Which of its readers meets the damage depends on what lies in the middle.
    with pytest.raises((ToolFailed, InvalidInput), match="failed with status"):
        await restore(database_url, damaged, NOW, force=True)
    await scene.execute("DROP FUNCTION open_incarnation")
    backup(database_url, whole)
    with pytest.raises(ToolFailed, match=r"psql failed with status 3: .*open_incarnation"):
        await restore(database_url, whole, NOW, force=True)
    assert await scene.publications.incarnation() == was
    assert await scene.count("decision") == 3_000


async def test_backup_that_cannot_be_written_leaves_nothing(
    database_url: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="cannot be written: No such file"):
        backup(database_url, tmp_path / "missing" / "a.dump")
    with pytest.raises(ToolFailed, match="pg_dump failed"):
        backup(f"{database_url}_missing", tmp_path / "a.dump")
    assert list(tmp_path.iterdir()) == []


async def test_what_extensions_brought_stays(
    scene: RetentionScene, database_url: str, tmp_path: Path
) -> None:
    await scene.experiment()
    backup(database_url, tmp_path / "a.dump")
    await execute(database_url, "CREATE EXTENSION pg_stat_statements")
    await restore(database_url, tmp_path / "a.dump", NOW, force=True)
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT to_regclass('pg_stat_statements') IS NOT NULL")
    await connection.close()


def test_password_is_not_on_the_command_line() -> None:
    url = "postgresql://somebody:s%2Fcret@localhost:5433/ledger?sslmode=prefer"
    tools = find_tools(url)
    line = " ".join(tools.connected("pg_dump", "--format=custom"))
    assert "postgresql://somebody@localhost:5433/ledger?sslmode=prefer" in line
    assert "cret" not in line
    assert Tools(tools.folder, url).environment["PGPASSWORD"] == "s/cret"
