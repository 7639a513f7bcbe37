"""Days of decisions are removed, and the posterior stays proved: by what they had brought and the rows that are left.

A day is sealed first: from then on nothing is folded into it. Its rows cannot change any more, so that what they
brought is added up hour by hour without a lock or a long snapshot. Where that is what the posterior has of these hours,
one short transaction keeps it as the opening balance and drops the partitions.
"""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from uuid import UUID

import asyncpg

from pullarm.domain.archive import ArchivedDay
from pullarm.domain.decision import make_uid
from pullarm.domain.errors import Conflict, Unavailable
from pullarm.storage.postgres import archive
from pullarm.storage.postgres.arm_rate_stage import PostgresArmRateStage
from pullarm.storage.postgres.database import Connection, Database, queries
from pullarm.storage.postgres.history import add_checkpoint
from pullarm.storage.postgres.horizon import Sealed, horizon, sealed
from pullarm.storage.postgres.rollups import PostgresStatistics
from pullarm.storage.postgres.times import at, ms

_SQL = queries("retention")
HOLD_UP = timedelta(milliseconds=300)
"""How long a try to remove a day may hold up folds before it gives way."""
PATIENCE_S = 300.0
"""How long it is tried again to remove a day."""
_PAUSE_S = 3.0
_LOCK = 23
_ROWS = 10_000
"""Rows deleted in one transaction: a longer one would keep what folds replace."""
_CELL = ("experiment_id", "policy", "arm_no", "hour", "n", "s")


@dataclass(frozen=True, slots=True, kw_only=True)
class LongestWindow:
    """The attribution window that retention must not cut short, and whose it is."""

    experiment: str
    hours: float


class StoredDay(NamedTuple):
    """A day of decisions that has partitions."""

    day: date
    bytes: int
    """On the disk, indexes included."""


class _Brought(NamedTuple):
    """What the rows of a day brought."""

    cells: list[tuple[int, ...]]
    """Experiment, policy, arm, hour, n, s."""
    tallies: list[tuple[int | str, ...]]
    """Experiment, name, item, n; more than once each."""
    folds: dict[int, int]
    """The last fold they had to do with, by experiment."""


class _Rebuilding(Exception):
    """A rebuild has read the rows of the day, perhaps, and is not done."""


class PostgresRetention:
    """Removes whole days of decisions, with their rewards and credits; one process at a time."""

    def __init__(
        self, database: Database, *, hold_up: timedelta = HOLD_UP, patience_s: float = PATIENCE_S
    ) -> None:
        self._database = database
        self._hold_up = hold_up
        self._patience_s = patience_s

    def alone(self) -> AbstractAsyncContextManager[None]:
        """Be the one that removes; raises Busy where another process is."""
        return self._database.alone(_LOCK, "removing days")

    async def days(self) -> list[StoredDay]:
        """All that are stored, oldest first."""
        async with self._database.connection() as connection:
            return [StoredDay(r["day"], r["bytes"]) for r in await connection.fetch(_SQL["days"])]

    async def sealed(self) -> Sealed:
        """How far back the ledger reaches."""
        async with self._database.connection() as connection:
            return await sealed(connection)

    async def longest_window(self) -> LongestWindow | None:
        """Of all versions of all experiments; None where there is no experiment."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL["longest_window"])
        return LongestWindow(experiment=row["id"], hours=row["hours"]) if row else None

    async def seal(self, day: date, now_ms: int) -> None:
        """Let nothing be folded into a day any more, nor anything in it be changed."""
        async with self._database.transaction() as connection:
            await connection.execute(_SQL["seal"], day, at(now_ms))

    async def remove(self, day: date, now_ms: int, archived: ArchivedDay | None = None) -> None:
        """Remove a day's partitions, oldest day first; what was cut off is taken up again.

        Raises Conflict where the posterior is not what the day's rows brought: then they are its only witness, and
        stay; and where a rebuild came since the day was archived, sealed as it is. Raises Unavailable where others
        kept the tables busy all the time.
        """
        await self.seal(day, now_ms)
        async with self._database.connection() as connection:
            heads = await connection.fetch(_SQL["heads"])
        for head in heads:  # from the day's rows, while they are there
            experiment, fold_no = head["experiment_id"], head["fold_no"]
            await PostgresStatistics(self._database).catch_up(experiment, fold_no)
            await PostgresArmRateStage(self._database).catch_up(experiment, now_ms)
        brought = await self._brought(day)
        for experiment, fold_no in brought.folds.items():
            async with self._database.snapshot() as connection:
                # What came late for the day before may reach further: then that checkpoint is there.
                if fold_no > await horizon(connection, experiment):
                    await add_checkpoint(connection, experiment, fold_no)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience_s
        while True:
            try:
                async with self._database.transaction() as connection:
                    if not await connection.fetchval(_SQL["no_rebuilds"]):
                        raise _Rebuilding
                    await _note(connection, day, archived, at(now_ms))
                    await self._remove(connection, day, brought)
            except (asyncpg.LockNotAvailableError, _Rebuilding) as error:
                if loop.time() > until:
                    raise Unavailable(
                        f"the rows of {day} could not be removed: something reads the ledger all the time, such as "
                        "a backup, verify or a rebuild; they are sealed, and will be removed at the next try"
                    ) from error
                await asyncio.sleep(min(_PAUSE_S, self._patience_s))
            else:
                return

    async def _brought(self, day: date) -> _Brought:
        cells: list[tuple[int, ...]] = []
        tallies: list[tuple[int | str, ...]] = []
        folds: dict[int, int] = {}
        midnight = datetime.combine(day, time(), UTC)
        for hour in range(24):
            span = [_uid(midnight + timedelta(hours=hour + end)) for end in (0, 1)]
            async with self._database.snapshot() as connection:
                await connection.execute(_SQL["prepare"])
                cells += map(tuple, await connection.fetch(_SQL["brought"], *span, timeout=600))
                tallies += map(tuple, await connection.fetch(_SQL["tallies"], *span, timeout=600))
                last = await connection.fetch(_SQL["last_folds"], *span, timeout=600)
            for row in last:
                experiment, fold_no = row["experiment_id"], row["fold_no"]
                folds[experiment] = max(fold_no, folds.get(experiment, 0))
        return _Brought(cells, tallies, folds)

    async def _remove(self, connection: Connection, day: date, brought: _Brought) -> None:
        await connection.copy_records_to_table("opening", records=brought.cells, columns=_CELL)
        hour = (day - date(1970, 1, 1)).days * 24
        wrong: int = await connection.fetchval(_SQL["disproved"], hour, hour + 24, timeout=600)
        if wrong:
            raise Conflict(
                f"the rows of {day} stay, because in {wrong} cells the posterior is not what they brought: "
                "see `pullarm verify`"
            )
        columns = zip(*brought.tallies, strict=True) if brought.tallies else [[]] * 4
        await connection.execute(_SQL["open_tallies"], *map(list, columns))
        await connection.execute(_SQL["horizon"], [*brought.folds], [*brought.folds.values()])
        await connection.execute(_SQL["remove"], day, self._hold_up)

    async def prune(self) -> int:
        """Delete what nothing can ask for any more of the days that were removed; answers how many rows.

        That is: folds that brought no row that is left, publications whose posterior cannot be worked out any more, and
        their grids, weightings and checkpoints; what serving counted by the minute, other than refused rewards, and
        what was set aside, in those days.
        """
        async with self._database.connection() as connection:
            removed = (await sealed(connection)).removed
            horizons = await connection.fetch(_SQL["horizons"])
        if removed is None:
            return 0
        until = datetime.combine(removed + timedelta(days=1), time(), UTC)
        deleted = await self._delete("prune_minutes", ms(until) // 60_000, _ROWS)
        deleted += await self._delete("prune_quarantine", until, _ROWS)
        for row in horizons:
            which = row["experiment_id"], row["fold_no"]
            deleted += await self._delete("prune_folds", *which, _ROWS)
            deleted += await self._delete("prune_publications", *which, _ROWS)
            async with self._database.transaction() as connection:
                deleted += _count(await connection.execute(_SQL["prune_grids"], which[0]))
                deleted += _count(await connection.execute(_SQL["prune_weightings"], which[0]))
                deleted += _count(await connection.execute(_SQL["prune_checkpoints"], *which))
        return deleted

    async def _delete(self, query: str, *arguments: object) -> int:
        deleted = 0
        while True:
            async with self._database.transaction() as connection:
                count = _count(await connection.execute(_SQL[query], *arguments, timeout=600))
            deleted += count
            if count < _ROWS:
                return deleted


async def _note(
    connection: Connection, day: date, archived: ArchivedDay | None, now: datetime
) -> None:
    """That the day is removed, and what files of it there are."""
    if archived is not None:
        if await archive.rebuilds(connection) != archived.rebuilds:
            raise Conflict(f"{day} is archived again at the next try: a rebuild came in between")
        await archive.keep(connection, archived, now)
    await connection.execute(_SQL["removed"], day, now, archived is not None)


def _uid(moment: datetime) -> UUID:
    return UUID(bytes=make_uid(ms(moment), bytes(10)))


def _count(status: str) -> int:
    return int(status.rsplit(" ", 1)[1])
