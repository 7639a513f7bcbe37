"""A database says what is the matter with it before anybody works on it."""

from datetime import date

import asyncpg
import pytest

from pullarm.domain.errors import ConfigurationError, Unavailable
from pullarm.storage.postgres import Database, PostgresLedger, migrate
from pullarm.storage.postgres.database import driver_errors
from pullarm.storage.postgres.schema import migrations
from tests.services import execute, reachable


async def test_a_database_that_no_migration_has_touched_is_refused(empty_database_url: str) -> None:
    names = ", ".join(name for name, _ in migrations())
    with pytest.raises(ConfigurationError, match=f"lacks {names}; run `pullarm migrate`"):
        async with Database(empty_database_url):
            pass
    assert await migrate(empty_database_url) == [name for name, _ in migrations()]
    async with Database(empty_database_url) as database:
        await database.ping()


async def test_missing_migrations_are_named_and_newer_ones_do_not_matter(database_url: str) -> None:
    await execute(database_url, "INSERT INTO migration VALUES ('9999_newer', clock_timestamp())")
    async with Database(database_url) as database:
        await database.ping()
        await execute(database_url, "DELETE FROM migration WHERE name LIKE '0002%'")
        with pytest.raises(ConfigurationError, match="lacks 0002_serving_minutes; run"):
            await database.ping()


async def test_a_database_that_does_not_exist_is_named(database_url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"DATABASE_URL: .*nothing_here"):
        async with Database(database_url.replace("/test_", "/nothing_here_")):
            pass


async def test_errors_name_the_variable_that_an_address_is_of(database_url: str) -> None:
    for url in (database_url.replace("/test_", "/nothing_here_"), "postgresql://h:x/d"):
        with pytest.raises(ConfigurationError, match=r"^DATABASE_READ_URL"):
            async with Database(url, variable="DATABASE_READ_URL"):
                pass


async def test_waiting_in_vain_for_a_connection_is_told(database_url: str) -> None:
    async with (
        Database(database_url, max_connections=1, patience_s=0.05) as database,
        database.connection(),
    ):
        with pytest.raises(Unavailable, match=r"none of 1 connections was free within 0\.05 s"):
            await database.ping()


def test_an_error_without_words_is_told_by_its_name() -> None:
    with pytest.raises(Unavailable, match=r"PostgreSQL is away: TimeoutError$"), driver_errors():
        raise TimeoutError


def test_a_connection_that_was_cut_is_told_without_the_states_of_the_driver() -> None:
    with pytest.raises(Unavailable, match=r"away: the connection was cut"), driver_errors():
        raise asyncpg.InternalClientError("cannot switch to state 12")


async def test_a_database_that_takes_no_connections_is_away(database_url: str) -> None:
    async with Database(database_url) as database:
        await reachable(database_url, so=False)
        for _ in range(20):  # the first may still find the cut connection
            with pytest.raises(Unavailable, match="PostgreSQL is away"):
                await database.ping()
        with pytest.raises(Unavailable, match="not currently accepting connections"):
            await database.ping()
        await reachable(database_url, so=True)
        await database.ping()


async def test_a_lock_that_is_not_to_be_had_is_told_as_it_is() -> None:
    with pytest.raises(asyncpg.LockNotAvailableError), driver_errors():
        raise asyncpg.LockNotAvailableError


async def test_every_days_partitions_are_indexed_by_experiment(database_url: str) -> None:
    async with Database(database_url) as database:
        await PostgresLedger(database).ensure_day(date(2025, 10, 14))
        async with database.connection() as connection:
            rows = await connection.fetch(
                "SELECT tablename FROM pg_indexes"
                " WHERE tablename LIKE '%\\_20251014' AND indexdef LIKE '%(experiment_id, batch_no)'"
            )
    assert sorted(row["tablename"] for row in rows) == ["decision_20251014", "reward_20251014"]
