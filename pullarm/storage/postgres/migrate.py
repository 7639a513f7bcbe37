"""Numbered migrations, applied in order, each in a transaction of its own, by one process at a time."""

import asyncpg

from pullarm.storage.postgres.database import connected
from pullarm.storage.postgres.roles import renew_grants
from pullarm.storage.postgres.schema import migrations, missing

_LOCK = 7_204_117  # any number, as long as every version of Pullarm uses the same


async def migrate(dsn: str) -> list[str]:
    """Bring a database up to date; answers the names of the migrations that were missing."""
    async with connected(dsn) as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        applied = await _apply(connection)
        await renew_grants(connection)
        return applied


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS migration (name text PRIMARY KEY, applied_at timestamptz NOT NULL)"
    )
    lacking = await missing(connection)
    for name in lacking:
        async with connection.transaction():
            await connection.execute(dict(migrations())[name])
            await connection.execute("INSERT INTO migration VALUES ($1, clock_timestamp())", name)
    await connection.execute(
        "INSERT INTO ledger (incarnation, created_at) VALUES (gen_random_uuid(), clock_timestamp())"
        " ON CONFLICT DO NOTHING"
    )
    return lacking
