"""Which migrations this version carries, and which of them a database lacks."""

from functools import cache
from importlib.resources import files
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

# In quotes, because only the stubs know that these are generic.
AnyConnection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
)


@cache
def migrations() -> tuple[tuple[str, str], ...]:
    """(name, SQL) of every migration, oldest first."""
    folder = files(__package__).joinpath("migrations")
    found = sorted(f.name for f in folder.iterdir() if f.name.endswith(".sql"))
    return tuple((name.removesuffix(".sql"), folder.joinpath(name).read_text()) for name in found)


async def missing(connection: AnyConnection) -> list[str]:
    """Names of the migrations that were not applied; those of a newer version beside this one are no matter."""
    done: set[str] = set()
    if await connection.fetchval("SELECT to_regclass('migration') IS NOT NULL"):
        done = {row["name"] for row in await connection.fetch("SELECT name FROM migration")}
    return [name for name, _ in migrations() if name not in done]
