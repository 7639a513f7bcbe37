"""Numbered migrations, applied in order, each in a transaction of its own, by one process at a time."""

from importlib.resources import files

import asyncpg

from pullarm.domain.errors import ConfigurationError
from pullarm.storage.postgres.database import driver_errors

_LOCK = 7_204_117  # any number, as long as every version of Pullarm uses the same


def migrations() -> list[tuple[str, str]]:
    """(name, SQL) of every migration, oldest first."""
    folder = files(__package__).joinpath("migrations")
    found = sorted(f.name for f in folder.iterdir() if f.name.endswith(".sql"))
    return [(name.removesuffix(".sql"), folder.joinpath(name).read_text()) for name in found]


async def migrate(dsn: str) -> list[str]:
    """Bring a database up to date; answers the names of the migrations that were missing."""
    try:
        with driver_errors():
            connection = await asyncpg.connect(dsn)
    except (asyncpg.PostgresError, ValueError) as error:
        raise ConfigurationError(f"DATABASE_URL: {error}") from error
    try:
        with driver_errors():
            await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
            return await _apply(connection)
    finally:
        await connection.close()


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS migration (name text PRIMARY KEY, applied_at timestamptz NOT NULL)"
    )
    done = {row["name"] for row in await connection.fetch("SELECT name FROM migration")}
    missing = [(name, sql) for name, sql in migrations() if name not in done]
    for name, sql in missing:
        async with connection.transaction():
            await connection.execute(sql)
            await connection.execute("INSERT INTO migration VALUES ($1, clock_timestamp())", name)
    await connection.execute(
        "INSERT INTO ledger (incarnation, created_at) VALUES (gen_random_uuid(), clock_timestamp())"
        " ON CONFLICT DO NOTHING"
    )
    return [name for name, _ in missing]
