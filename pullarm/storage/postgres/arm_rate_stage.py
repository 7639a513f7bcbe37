"""Adaptively valid rates of arms: kept a little behind the maturity of decisions, with a cursor in their order.

A decision counts once, when it is mature. What changes behind the cursor all the same (a rebuild, a reward that was on
its way for days) sends the cursor back to the beginning of its day, up to which the sums are kept
(docs/decisions/0026).
"""

import asyncio
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from uuid import UUID

import asyncpg

from pullarm.domain.decision import GRACE_MS, make_uid, uid_ms
from pullarm.domain.errors import Refused
from pullarm.domain.intake import watermark
from pullarm.domain.weighting import HOUR_MS
from pullarm.storage.postgres import intake
from pullarm.storage.postgres.arm_scores import Counted, Page, Redrawn
from pullarm.storage.postgres.database import Connection, Database, queries
from pullarm.storage.postgres.horizon import sealed
from pullarm.storage.postgres.times import at, ms

_SQL = queries("arm_rates")
DECISIONS = 2_000
"""How many a step takes at most."""
_PAUSE_S = 0.05
_HELD = 20
"""Experiments whose newest publications are held in memory, megabytes each where they have thousands of arms."""
_DAY_MS = 24 * HOUR_MS
_EPOCH = date(1970, 1, 1)
_REFUSALS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    ArithmeticError,
    ValueError,
)


class _Head(NamedTuple):
    """How far the sums of an experiment are."""

    next_uid: UUID
    fold_no: int
    mature_before: datetime | None


class PostgresArmRateStage:
    """Keeps the sums; one process for each experiment at a time."""

    def __init__(self, database: Database, *, decisions: int = DECISIONS) -> None:
        self._database = database
        self.most = decisions
        self._redrawn: dict[int, Redrawn] = {}
        """Of the experiments that were stepped last, newest last."""

    async def due(self) -> list[int]:
        """Experiments of which there may be something to take."""
        async with self._database.connection() as connection:
            return [row["experiment_id"] for row in await connection.fetch(_SQL["due"])]

    async def step(self, experiment: int, now_ms: int) -> int:
        """Take the next mature decisions; how many a policy made, 0 also while another process has the experiment.

        Raises Unavailable while PostgreSQL is away, Refused where they cannot be worked out; then nothing was taken.
        """
        try:
            return await self._step(experiment, now_ms)
        except _REFUSALS as error:
            raise Refused(f"the rates of arms do not take the next decisions: {error}") from error

    async def _step(self, experiment: int, now_ms: int) -> int:
        redrawn = self._redrawn.pop(experiment, None) or Redrawn(experiment)
        self._redrawn[experiment] = redrawn
        if len(self._redrawn) > _HELD:
            del self._redrawn[next(iter(self._redrawn))]
        async with self._database.transaction() as connection:
            if not await connection.fetchval(_SQL["try_lock"], experiment):
                return 0
            await connection.execute(_SQL["prepare"])
            head = await _caught_up(connection, experiment)
            mature = await _mature_ms(connection, experiment, head, now_ms)
            until = head.next_uid if mature is None else max(head.next_uid, _uid(mature))
            page = await _page(connection, redrawn, head.next_uid, until, self.most)
            for day, counted in page.days.items():
                await _keep(connection, experiment, day, counted)
            mature_before = None if mature is None else at(mature)
            await connection.execute(
                _SQL["set_head"], experiment, page.next_uid, head.fold_no, mature_before
            )
        return page.decisions

    async def catch_up(self, experiment: int, now_ms: int) -> None:
        """Take all that is mature; while another process has the experiment, wait for it."""
        while True:
            taken = await self.step(experiment, now_ms)
            if taken < self.most and not await self._behind(experiment, now_ms):
                return
            if not taken:
                await asyncio.sleep(_PAUSE_S)

    async def _behind(self, experiment: int, now_ms: int) -> bool:
        async with self._database.connection() as connection:
            head = await _head(connection, experiment)
            mature = await _mature_ms(connection, experiment, head, now_ms)
        return mature is not None and head.next_uid < _uid(mature)

    async def verify(self, experiment: int) -> list[str]:
        """A line for each difference between what is stored and what the ledger makes of it, up to the cursor.

        Decisions of removed days, and those that cannot be explained for it, are taken as they were; of a day behind
        the cursor that something came for since, and of later ones, nothing is said.
        """
        async with self._database.snapshot() as connection:
            await connection.execute(_SQL["prepare"])
            head = await _head(connection, experiment)
            since = await _first_day(connection, experiment)
            late = await _late_day(connection, experiment, head)
            stored = _Rows()
            for row in await connection.fetch(_SQL["stored"], experiment, since):
                stored[row["day"], row["allocation_epoch"], row["policy"], row["arm_no"]] = tuple(
                    row
                )[5:]
            for row in await connection.fetch(_SQL["stored_days"], experiment, since):
                stored[row["day"],] = tuple(row)[2:]
            due = await _recomputed(connection, experiment, since, head.next_uid, self.most)
        return [
            f"arm rates {_told(key)}: stored {stored.get(key)}, ledger {due.get(key)}"
            for key in sorted(stored.keys() | due.keys())
            if stored.get(key) != due.get(key) and (late is None or key[0] < late)
        ]


_Rows = dict[tuple[int, ...], tuple[float, ...]]
"""By day, or by day, epoch, policy and arm: what is stored."""


def _told(key: tuple[int, ...]) -> str:
    day = _EPOCH + timedelta(days=key[0])
    if len(key) == 1:
        return f"of decisions of {day}"
    return f"up to {day} epoch {key[1]} policy {key[2]} arm {key[3]}"


async def _head(connection: Connection, experiment: int) -> _Head:
    row = await connection.fetchrow(_SQL["head"], experiment)
    return _Head(*row) if row else _Head(UUID(int=0), 0, None)


async def _caught_up(connection: Connection, experiment: int) -> _Head:
    """The head after a look at what folds have changed behind it, gone back to the day of that."""
    head = await _head(connection, experiment)
    fold_no: int = await connection.fetchval(_SQL["fold_no"], experiment)
    late = await _late_day(connection, experiment, head)
    if late is None:
        return head._replace(fold_no=fold_no)
    await connection.execute(_SQL["forget"], experiment, late)
    return head._replace(next_uid=_uid(late * _DAY_MS), fold_no=fold_no)


async def _late_day(connection: Connection, experiment: int, head: _Head) -> int | None:
    """The first day behind the cursor that folds which were not looked through have changed."""
    if head.next_uid.int == 0:
        return None
    folds = head.fold_no, await connection.fetchval(_SQL["fold_no"], experiment)
    if folds[0] == folds[1]:
        return None
    first = await _first_day(connection, experiment)
    if await connection.fetchval(_SQL["rebuilt"], experiment, *folds):
        late = first
    else:
        ends = _uid((uid_ms(head.next_uid.bytes) // _DAY_MS + 1) * _DAY_MS)
        changed = await connection.fetchval(_SQL["late"], experiment, *folds, head.next_uid, ends)
        if changed is None:
            return None
        late = max(first, uid_ms(changed.bytes) // _DAY_MS)
    return late if _uid(late * _DAY_MS) < head.next_uid else None


async def _first_day(connection: Connection, experiment: int) -> int:
    """The first day of which everything can be worked out again: of those before, the sums stay as they are."""
    removed = (await sealed(connection)).removed
    if removed is None:
        return 0
    workable: datetime | None = await connection.fetchval(_SQL["workable"], experiment)
    kept = (removed - _EPOCH).days + 1
    return kept if workable is None else max(kept, ms(workable) // _DAY_MS + 1)


async def _mature_ms(
    connection: Connection, experiment: int, head: _Head, now_ms: int
) -> int | None:
    """Decisions made before have all that will ever come of them; None where that cannot be said of any moment.

    All events of before the watermark have come, and nothing comes of a sealed day.
    """
    lives = await intake.read(connection)
    # Where no process ever numbered its events, none is waited for.
    complete = watermark(lives, now_ms).at_ms if lives else now_ms
    since = at(uid_ms(head.next_uid.bytes))
    hours: float | None = await connection.fetchval(_SQL["window_hours"], experiment, since)
    mature = None if complete is None else complete - round((hours or 0) * HOUR_MS) - GRACE_MS
    closed = (await sealed(connection)).until
    if closed is None:
        return mature
    end = ms(datetime.combine(closed + timedelta(days=1), time(), UTC))
    return end if mature is None else max(mature, end)


async def _page(
    connection: Connection, redrawn: Redrawn, since: UUID, until: UUID, limit: int
) -> Page:
    """The next decisions, with what was drawn from for each."""
    experiment = redrawn.experiment
    rows = await connection.fetch(_SQL["page"], experiment, since, until, limit)
    uids = [row["uid"] for row in rows]
    earned = {row["uid"]: row for row in await connection.fetch(_SQL["earned"], experiment, uids)}
    if await connection.fetchval(_SQL["confirmed"], experiment):
        earned = {uid: row for uid, row in earned.items() if row["shown"]}
        rows_shown = [row for row in rows if row["uid"] in earned]
    else:
        rows_shown = rows
    standing = [row for row in rows_shown if not row["taken_back"]]
    credits = [earned[row["uid"]]["credit"] if row["uid"] in earned else 0 for row in standing]
    return Page(
        next_uid=UUID(int=uids[-1].int + 1) if len(rows) == limit else until,
        decisions=len(rows),
        days=await redrawn.count(connection, standing, credits),
    )


async def _keep(connection: Connection, experiment: int, day: int, counted: Counted) -> None:
    """Add what the decisions of one day say to the sums up to it."""
    keys = [list(column) for column in zip(*counted.keys, strict=True)] or [[], [], []]
    rows = await connection.fetch(_SQL["sums"], experiment, *keys, day)
    sums = counted.after({counted.keys[row["place"] - 1]: tuple(row)[1:] for row in rows})
    columns = [column.tolist() for column in (*sums.counts.T, *sums.scored.T)]
    days = [day] * len(counted.keys)
    await connection.execute(_SQL["set_sums"], experiment, *keys, days, *columns)
    await connection.execute(_SQL["add_day"], experiment, day, *counted.tally)


async def _recomputed(
    connection: Connection, experiment: int, since: int, until: UUID, limit: int
) -> _Rows:
    """What is to be stored from a day on, up to a decision."""
    redrawn, rows, next_uid = Redrawn(experiment), _Rows(), _uid(since * _DAY_MS)
    newest: dict[tuple[int, int, int], tuple[float, ...]] = {}
    while next_uid < until:
        page = await _page(connection, redrawn, next_uid, until, limit)
        next_uid = page.next_uid
        for day, counted in page.days.items():
            new = [key for key in counted.keys if key not in newest]
            if since and new:
                keys = [list(column) for column in zip(*new, strict=True)]
                found = await connection.fetch(_SQL["sums"], experiment, *keys, since - 1)
                newest |= {new[row["place"] - 1]: tuple(row)[1:] for row in found}
            sums = counted.after(newest)
            for key, counts, scored in zip(
                counted.keys, sums.counts.tolist(), sums.scored.tolist(), strict=True
            ):
                newest[key] = rows[day, *key] = (*counts, *scored)
            before = rows.get((day,), (0,) * len(counted.tally))
            rows[day,] = tuple(map(sum, zip(before, counted.tally, strict=True)))
    return rows


def _uid(moment_ms: int) -> UUID:
    return UUID(bytes=make_uid(moment_ms, bytes(10)))
