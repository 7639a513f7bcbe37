"""What a restore needs of the database itself; the rows come by PostgreSQL's own programs (cli/restore.py)."""

from dataclasses import dataclass
from datetime import datetime

from pullarm.storage.postgres.database import Connection, connected, queries

_SQL = queries("restore")
BEFORE = f"BEGIN;\n{_SQL['empty']};\n"
"""For psql: begins the transaction and removes all there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The database that is restored into."""

    server: int
    """Its major version."""
    used: bool
    """There are experiments in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What a ledger has."""

    experiments: int
    folded_at: datetime | None
    """When its last fold was; None where nothing was ever folded."""
    incarnation: str


def after(now: datetime) -> str:
    """For psql: begins a new life of the ledger and ends the transaction; `now` is aware."""
    reopen = _SQL["reopen"].replace(":now", f"'{now.isoformat()}'")
    return f"{reopen};\nCOMMIT;\n"


async def look(dsn: str) -> Target:
    """Raises Unavailable while the server is away, ConfigurationError where it lets nobody in."""
    async with connected(dsn) as connection:
        there = await connection.fetchval("SELECT to_regclass('public.experiment') IS NOT NULL")
        used = there and await connection.fetchval(_SQL["is_used"])
        return Target(server=connection.get_server_version().major, used=bool(used))


async def inventory(connection: Connection) -> Inventory:
    """Of the ledger as it is."""
    row = await connection.fetchrow(_SQL["inventory"])
    assert row is not None  # it has no FROM
    return Inventory(
        experiments=row["experiments"],
        folded_at=row["folded_at"],
        incarnation=str(row["incarnation"]),
    )
