"""`pullarm retention`: remove the decisions of days that are old enough."""

import asyncio
import os
from datetime import date
from pathlib import Path
from typing import Annotated

from typer import Option

from cli.verify import database_url, platform_clock, platform_setting
from pullarm.clock import Clock
from pullarm.domain.errors import invalid
from pullarm.environment import ARCHIVE
from pullarm.storage.postgres import Database
from pullarm.storage.postgres.retention import PostgresRetention
from workers.archive import Archiving
from workers.retention import due, remove_old
from workers.settings import RETENTION, retention_days

_MIB = 1024 * 1024


def command(
    days: Annotated[
        int | None,
        Option(min=1, help=f"Remove days that ended so many days ago; else {RETENTION}."),
    ] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Only list the days.")] = False,
    state: Annotated[
        Path, Option(help="State folder of a running `pullarm up`, where DATABASE_URL is not set.")
    ] = Path(".pullarm"),
) -> None:
    """Remove decisions, rewards and credits of whole days, and what only they could need.

    Posteriors and arms stay: what the removed rows had brought is kept, so that verify goes on proving them. Decisions
    of removed days can no longer be explained. Where PULLARM_ARCHIVE is set they are written to files first, which
    `export` reads; else they cannot be exported either. Workers do this hourly where PULLARM_RETENTION_DAYS is set.
    """
    told = days or retention_days(os.environ)
    if told is None:
        raise invalid("--days", f"is needed where {RETENTION} is not set")
    clock = platform_clock(state)
    places = database_url(state), platform_setting(ARCHIVE, state)
    removed = asyncio.run(_remove(places, told, clock, dry_run=dry_run))
    print(f"{removed} days {'would be ' if dry_run else ''}removed")


async def _remove(places: tuple[str, str], days: int, clock: Clock, *, dry_run: bool) -> int:
    url, archive = places
    async with Database(url, max_connections=2) as database:
        retention = PostgresRetention(database)
        if not dry_run:
            archiving = Archiving(database, archive)
            return await remove_old(retention, archiving, days, clock, _tell)
        found = await due(retention, days, clock())
        for stored in found:
            _tell(stored.day, stored.bytes)
        return len(found)


def _tell(day: date, size: int) -> None:
    print(f"{day}  {size / _MIB:,.1f} MiB", flush=True)
