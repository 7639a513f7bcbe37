"""What the ledger knows of files of removed days: rows for them, what they have to hold, whom they still name."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from pullarm.domain.archive import (
    NOTHING,
    ArchivedDay,
    ArchivedFile,
    Kind,
    PendingErasure,
    Sums,
)
from pullarm.domain.assignment import MICRO
from pullarm.domain.decision import RewardStatus
from pullarm.domain.erasure import StandIn
from pullarm.domain.experiment import POLICY_NAMES, Experiment
from pullarm.storage.postgres.database import Connection, Database, queries
from pullarm.storage.postgres.export import in_turn, uid_span

if TYPE_CHECKING:
    import pyarrow as pa
    from asyncpg import Record

_SQL = queries("archive")
_PAGE_ROWS = 10_000
_TIMEOUT_S = 600.0
_LOCK = 28
_DAY = timedelta(days=1)


class Reach(NamedTuple):
    """How far back rows go, and files."""

    removed: date | None
    """The last day whose rows are gone."""
    lost: date | None
    """The last day that was removed and not archived."""
    archiving: bool
    """Whether the last removed day was archived."""


class PostgresArchive:
    """Reads what is written to files, and keeps what they have to hold."""

    def __init__(self, database: Database, *, page_rows: int = _PAGE_ROWS) -> None:
        self._database = database
        self._page_rows = page_rows

    def alone(self) -> AbstractAsyncContextManager[None]:
        """Be the one that changes files of removed days; raises Busy where another process is."""
        return self._database.alone(_LOCK, "changing files of removed days")

    async def experiments(self, day: date) -> list[int]:
        """The numbers of those that have rows of this day."""
        async with self._database.snapshot() as connection:
            await connection.execute(_SQL["prepare"])
            rows = await connection.fetch(_SQL["experiments"], *_span(day), timeout=_TIMEOUT_S)
        return [row["experiment_id"] for row in rows]

    async def rewards(self, experiment: Experiment, day: date) -> "AsyncIterator[pa.Table]":
        """The calls of rewards for the day's decisions, in columns as `reward_schema` has them; page by page."""
        after, end = _span(day)
        reward_uid = UUID(int=0)
        async with self._database.connection() as connection:
            arms = {
                row["arm_no"]: row["arm_id"]
                for row in await connection.fetch(_SQL["arms"], experiment.number)
            }
        while True:
            async with self._database.snapshot() as connection:
                await connection.execute(_SQL["prepare"])
                keys = after, reward_uid, end, self._page_rows
                page = await connection.fetch(_SQL["rewards"], experiment.number, *keys)
            if not page:
                return
            yield await in_turn(_table, page, experiment.id, arms)
            after, reward_uid = page[-1]["uid"], page[-1]["reward_uid"]

    async def sums(
        self, experiment: int, day: date, kind: Kind, reward_kinds: Sequence[str]
    ) -> Sums:
        """What a file has to add up to, by the rows of the ledger; `reward_kinds` are those that have columns."""
        arguments = [reward_kinds] if kind is Kind.DECISIONS else []
        begins = midnight(day)
        total = NOTHING
        for hour in range(24):  # because a long snapshot slows folds down
            span = uid_span(*(begins + timedelta(hours=hour + end) for end in (0, 1)))
            async with self._database.snapshot() as connection:
                await connection.execute(_SQL["prepare"])
                row = await connection.fetchrow(
                    _SQL[f"{kind}_sums"], experiment, *span, *arguments, timeout=_TIMEOUT_S
                )
            assert row is not None  # an aggregate has one row
            total = total.plus(Sums(row["rows"], row["checksum"]))
        return total

    async def rebuilds(self) -> int:
        """A number that every rebuild changes: files say what rebuilds left out."""
        async with self._database.connection() as connection:
            return await rebuilds(connection)

    async def files(
        self,
        experiment: int | None = None,
        since: date | None = None,
        until: date | None = None,
    ) -> list[ArchivedFile]:
        """Those that there have to be of one experiment or all, oldest first; `until` is left out."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["files"], experiment, since, until)
        return [
            ArchivedFile(
                experiment=row["experiment_id"],
                experiment_id=row["id"],
                day=row["day"],
                kind=Kind(row["kind"]),
                sums=Sums(row["rows"], row["checksum"]),
            )
            for row in rows
        ]

    async def forget(self, file: ArchivedFile) -> None:
        """There need not be this file any more."""
        key = file.experiment, file.day, file.kind.value
        async with self._database.connection() as connection:
            await connection.execute(_SQL["forget"], *key)

    async def reach(self) -> Reach:
        """As of now."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL["reach"])
        assert row is not None  # an aggregate has one row
        return Reach(row["removed"], row["lost"], row["archiving"])

    async def erasures(self) -> list[PendingErasure]:
        """The users that files are still to be rewritten for, oldest erasure first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["erasures"])
        return [
            PendingErasure(
                experiment=row["experiment_id"],
                salt=row["salt"],
                unit_hash=row["unit_hash"],
                instead=StandIn(
                    unit=row["unit"], unit_hash=row["instead_hash"], bucket=row["bucket"]
                ),
            )
            for row in rows
        ]

    async def erased(self, erasure: PendingErasure) -> None:
        """No file leads to the user any more; nor does this ledger."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["erased"], erasure.experiment, erasure.unit_hash)


async def rebuilds(connection: Connection) -> int:
    """As `PostgresArchive.rebuilds`, within the caller's transaction."""
    number: int = await connection.fetchval(_SQL["rebuilds"])
    return number


async def keep(connection: Connection, archived: ArchivedDay, now: datetime) -> None:
    """Note what files of a day there have to be, in the transaction that removes its rows."""
    rows = [(f.experiment, f.day, f.kind.value, *f.sums) for f in archived.files]
    columns = map(list, zip(*rows, strict=True)) if rows else [[]] * 5
    await connection.execute(_SQL["keep"], *columns, now)


async def erase(
    connection: Connection, experiment: int, unit_hash: int, instead: StandIn, now: datetime
) -> int:
    """Note that a user is to be erased from the experiment's files; of how many days there are some."""
    stands = instead.unit, instead.unit_hash, instead.bucket
    await connection.execute(_SQL["erase"], experiment, unit_hash, *stands, now)
    days: int = await connection.fetchval(_SQL["days"], experiment)
    return days


def midnight(day: date) -> datetime:
    """When a day (UTC) begins."""
    return datetime.combine(day, time(), UTC)


def _span(day: date) -> tuple[UUID, UUID]:
    return uid_span(midnight(day), midnight(day + _DAY))


def reward_schema() -> "pa.Schema":
    """The columns of a file of rewards."""
    import pyarrow as pa

    moment = pa.timestamp("us", tz="UTC")
    columns = {
        **dict.fromkeys(("decision_uid", "reward_uid"), pa.string()),
        **dict.fromkeys(("occurred_at", "received_at"), moment),
        "experiment": pa.string(),
        "slot": pa.int32(),
        **dict.fromkeys(("kind", "reward_id", "source"), pa.string()),
        **dict.fromkeys(("value", "credit"), pa.float64()),
        **dict.fromkeys(("feeds", "retract"), pa.bool_()),
        **dict.fromkeys(("status", "assigned", "acting"), pa.string()),
        "arm_no": pa.int32(),
        **dict.fromkeys(("arm_id", "unit"), pa.string()),
        "unit_hash": pa.int64(),
        "excluded": pa.bool_(),
    }
    return pa.schema([pa.field(name, kind) for name, kind in columns.items()])


def _table(page: "Sequence[Record]", experiment: str, arms: Mapping[int, str]) -> "pa.Table":
    import pyarrow as pa

    made = {
        "decision_uid": [row["uid"].hex for row in page],
        "reward_uid": [row["reward_uid"].hex for row in page],
        "experiment": [experiment] * len(page),
        "credit": [row["credit"] / MICRO for row in page],
        "status": [RewardStatus(row["status"]).name for row in page],
        "assigned": [POLICY_NAMES.get(row["assigned"]) for row in page],
        "acting": [POLICY_NAMES.get(row["acting"]) for row in page],
        "arm_id": [arms.get(row["arm_no"]) for row in page],
    }
    target = reward_schema()
    columns = [
        pa.array(made.get(field.name) or [row[field.name] for row in page], field.type)
        for field in target
    ]
    return pa.Table.from_arrays(columns, schema=target)
