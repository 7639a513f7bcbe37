"""How long the ledger keeps decisions: whole days that are older are removed, and what only they could need."""

import logging
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from math import ceil

from pullarm.clock import Clock
from pullarm.domain.decision import GRACE_MS
from pullarm.domain.errors import invalid
from pullarm.storage.postgres.retention import PostgresRetention, StoredDay
from workers.archive import Archiving

_log = logging.getLogger(__name__)

LONGEST_SPOOL_DAYS = 7
"""How late events may come from a spool file; later ones, of a removed day, end in quarantine."""
_HOUR_MS = 3_600_000


async def check(retention: PostgresRetention, days: int) -> None:
    """Raises InvalidInput where events of a removed day could still come."""
    longest = await retention.longest_window()
    if longest is None:
        return
    least = ceil((longest.hours + GRACE_MS / _HOUR_MS) / 24) + LONGEST_SPOOL_DAYS
    if days < least:
        raise invalid(
            "retention_days",
            f"{days} are too few: {longest.experiment} has an attribution window of {longest.hours:g} h, and with "
            f"{GRACE_MS / _HOUR_MS:g} h of grace and {LONGEST_SPOOL_DAYS} days of spool its events may come for "
            f"{least} days; give at least {least}",
        )


async def due(retention: PostgresRetention, days: int, now_ms: int) -> list[StoredDay]:
    """The stored days that ended so many days ago, oldest first; raises InvalidInput where that is too early."""
    await check(retention, days)
    keep_from = (datetime.fromtimestamp(now_ms / 1000, UTC) - timedelta(days=days)).date()
    return [stored for stored in await retention.days() if stored.day < keep_from]


async def remove_old(
    retention: PostgresRetention,
    archiving: Archiving,
    days: int,
    clock: Clock,
    report: Callable[[date, int], None] = lambda day, size: _log.info(
        "removed the decisions of %s, %d bytes", day, size
    ),
) -> int:
    """Archive and remove the days that are due, and what only they needed; answers how many days.

    Raises InvalidInput where `days` are too few, Conflict where another process is at it, a day's rows do not prove
    the posterior or its files are not what it has, Unavailable where it has to be tried again.
    """
    async with retention.alone():
        removed = await due(retention, days, clock())
        for stored in removed:
            await retention.seal(stored.day, clock())
            archived = await archiving.keep(stored.day)
            await retention.remove(stored.day, clock(), archived)
            report(stored.day, stored.bytes)
        await retention.prune()
    return len(removed)
