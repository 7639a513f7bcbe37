"""What a PostgreSQL says of itself, for `pullarm doctor`; the database may be in any state."""

import shutil
from datetime import datetime

from pullarm.domain.audit import Author
from pullarm.domain.servers import PostgresFacts
from pullarm.storage.postgres import trail
from pullarm.storage.postgres.database import Database, connected, queries
from pullarm.storage.postgres.schema import missing

_SQL = queries("facts")
_DAYS = queries("retention")["days"]


async def look(dsn: str) -> PostgresFacts:
    """Raises Unavailable while the server is away, ConfigurationError where it lets nobody in."""
    async with connected(dsn) as connection:
        server = await connection.fetchrow(_SQL["server"])
        assert server is not None  # it has no FROM
        lacking = await missing(connection)
        quarantined, backup_at, days = 0, None, []
        if not lacking:
            quarantined, backup_at = (await connection.fetch(_SQL["ledger"]))[0]
            days = await connection.fetch(_DAYS)
    facts = dict(server)
    return PostgresFacts(
        lacking=lacking,
        free_bytes=_free(facts.pop("folder")),
        day_bytes=max((row["bytes"] for row in days), default=0),
        quarantined=quarantined,
        backup_at=backup_at,
        **facts,
    )


async def clock_ms(dsn: str) -> int:
    """The time by the server's own clock, in milliseconds."""
    async with connected(dsn) as connection:
        now_ms: int = await connection.fetchval(_SQL["clock"])
        return now_ms


async def note_backup(database: Database, author: Author, now: datetime, size: int) -> None:
    """Leave in the audit trail that a backup of so many bytes was written."""
    async with database.transaction() as connection:
        await trail.record(connection, author, now, "backup", ({}, {"bytes": size}))


def _free(folder: str | None) -> int | None:
    """None where the folder is another machine's, or may not be looked at."""
    try:
        return shutil.disk_usage(folder).free if folder else None
    except OSError:
        return None
