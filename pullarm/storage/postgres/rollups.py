"""The second stage after the fold: roll-ups and the statistics of users, with a cursor of their own.

What a decision counts for is a function of the ledger's rows as of a fold (docs/decisions/0014). A step takes away what
the decisions concerned counted for at the cursor, adds what they count for some folds later and moves the cursor, all
in one transaction: nothing is lost or doubled wherever it ends.
"""

import asyncio
from functools import cache
from typing import NamedTuple
from uuid import UUID

import asyncpg
from asyncpg import Record

from pullarm.domain.errors import Refused, Unavailable
from pullarm.storage.postgres import guard_counters
from pullarm.storage.postgres.database import Connection, Database, queries

_SQL = queries("rollups")
FOLDS = 20
"""How many folds a step takes at most: some ten thousand events, so that a backlog is worked off in pieces."""
_PAUSE_S = 0.05
WAIT_S = 10.0
"""How long workers are waited for, which are seconds behind where all is well."""
_REFUSALS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)


class _Change(NamedTuple):
    """What is to be added to the tables, as far as it is worked out: the rest is one query for each table."""

    experiment: int
    since: int | None
    """The cursor; None where the tables are taken as empty."""
    upto: int
    rewarded: list[UUID] | None
    """The decisions whose rewards count otherwise; None for all."""

    def arguments(self) -> dict[str, tuple[object, ...]]:
        """Of the query for each table."""
        return {
            "rollup": (self.experiment,),
            "user_groups": (self.experiment,),
            "tally": self,
            "user_sums": (self.experiment, self.since is not None),
        }


class PostgresStatistics:
    """Keeps the tables that summaries are answered from; one process for each experiment at a time."""

    def __init__(self, database: Database, *, folds: int = FOLDS) -> None:
        self._database = database
        self.most = folds

    async def due(self) -> list[int]:
        """Experiments whose statistics are behind their fold."""
        async with self._database.connection() as connection:
            return [row["experiment_id"] for row in await connection.fetch(_SQL["due"])]

    async def step(self, experiment: int) -> int:
        """Take the next folds; how many there were, 0 also while another process has the experiment.

        Raises Unavailable while PostgreSQL is away, Refused where it cannot work them out; then nothing was taken.
        """
        try:
            return await self._step(experiment)
        except _REFUSALS as error:
            raise Refused(f"the statistics do not take the next folds: {error}") from error

    async def _step(self, experiment: int) -> int:
        async with self._database.transaction() as connection:
            if not await connection.fetchval(_SQL["try_lock"], experiment):
                return 0
            since = await connection.fetchval(_SQL["cursor"], experiment)
            folds = await connection.fetch(_SQL["folds"], experiment, since, self.most)
            if folds:
                await _add(connection, await _difference(connection, experiment, since, folds))
            return len(folds)

    async def catch_up(self, experiment: int, upto: int | None = None) -> None:
        """Take all folds there are, or up to this one; while another process has the experiment, wait for it."""
        while await self._behind(experiment, upto):
            if not await self.step(experiment):
                await asyncio.sleep(_PAUSE_S)

    async def wait_for(self, experiment: int, upto: int) -> None:
        """Wait until workers have taken all folds up to this one. Raises Unavailable where they do not."""
        loop = asyncio.get_running_loop()
        until = loop.time() + WAIT_S
        while await self._behind(experiment, upto):
            if loop.time() > until:
                raise Unavailable(
                    f"the workers have not counted all that was folded within {WAIT_S:g} s; try again"
                )
            await asyncio.sleep(_PAUSE_S)

    async def _behind(self, experiment: int, upto: int | None) -> bool:
        if upto is None:
            return experiment in await self.due()
        async with self._database.connection() as connection:
            return bool(await connection.fetchval(_SQL["cursor"], experiment) < upto)

    async def rebuild(self, experiment: int) -> None:
        """Work everything out anew from the ledger as of the cursor: for tables that were damaged.

        What retention has removed the rows of stays as it is.
        """
        async with self._database.transaction() as connection:
            await connection.execute(_SQL["lock"], experiment)
            upto = await connection.fetchval(_SQL["cursor"], experiment)
            change = await _whole(connection, experiment, upto)
            await connection.execute(_SQL["forget"], experiment)
            await guard_counters.forget(connection, experiment)
            await _add(connection, change)

    async def users_as_of(
        self, experiment: int, fold_no: int, *, day: int, epoch: int
    ) -> tuple[list[Record], list[Record]]:
        """The rows of `user_sums` as the ledger makes them of the folds up to one, and of `past`; changes nothing."""
        async with self._database.snapshot() as connection:
            change = await _whole(connection, experiment, fold_no)
            sums = await connection.fetch(_SQL["user_sums"], *change.arguments()["user_sums"])
            ends = (experiment, day, epoch, fold_no)
            return sums, await past(connection, *ends, user_day="user_day_change")

    async def verify(self, experiment: int) -> list[str]:
        """A line for each difference between the tables and what the ledger, as of the cursor, makes of them."""
        async with self._database.snapshot() as connection:
            upto = await connection.fetchval(_SQL["cursor"], experiment)
            rows = await _compare(connection, await _whole(connection, experiment, upto))
        return [
            f"{row['what']}: stored {row['stored'] or '-'}, ledger {row['ledger'] or '-'}"
            for row in rows
        ]


async def past(
    connection: Connection,
    experiment: int,
    day: int,
    epoch: int,
    fold_no: int,
    *,
    user_day: str = "user_day",
) -> list[Record]:
    """What the users of an allocation epoch, up to a day, did before the experiment, by policy as of a fold."""
    statement = _SQL["past"].replace("{user_day}", user_day)
    return await connection.fetch(statement, experiment, day, epoch, fold_no)


async def _difference(
    connection: Connection, experiment: int, since: int, folds: list[Record]
) -> _Change:
    """What these folds, the next ones after the cursor, change."""
    await connection.execute(_SQL["prepare"])
    upto, batches = folds[-1]["fold_no"], [row["batch_no"] for row in folds]
    before: list[UUID] | None = None
    rewarded: list[UUID] | None = None
    if any(row["rebuild_no"] for row in folds):  # it changes how every decision is read
        await connection.execute(_SQL["all"], experiment)
    else:
        await connection.execute(_SQL["brought"], experiment, batches)
        await connection.execute(_SQL["touched"], experiment, batches)
        await connection.execute(_SQL["other_tries"], experiment)
        found = await connection.fetchrow(_SQL["rewarded"], experiment, batches, since)
        assert found is not None  # a SELECT without FROM has one row
        before, rewarded = found
    await connection.execute(_SQL["earn"], experiment, since, before)
    await connection.execute(_SQL["earn"], experiment, upto, rewarded)
    return await _count(connection, _Change(experiment, since, upto, rewarded))


async def _whole(connection: Connection, experiment: int, upto: int) -> _Change:
    """What all folds up to this one make of empty tables."""
    await connection.execute(_SQL["prepare"])
    await connection.execute(_SQL["all"], experiment)
    await connection.execute(_SQL["earn"], experiment, upto, None)
    change = await _count(connection, _Change(experiment, None, upto, None))
    await connection.execute(_SQL["keep_user_days"], experiment)
    return change


async def _count(connection: Connection, change: _Change) -> _Change:
    ends = change.experiment, change.since, change.upto
    await connection.execute(_SQL["count"], *ends)
    await connection.execute(_SQL["user_days"], change.experiment)
    await guard_counters.count(connection, change.experiment, change.since)
    return change


async def _add(connection: Connection, change: _Change) -> None:
    for name, arguments in change.arguments().items():
        await connection.execute(_with_change("add", name), *arguments)
    await connection.execute(_SQL["add_user_days"])
    await guard_counters.add(connection, change.experiment, change.since, change.upto)
    await connection.execute(_SQL["advance"], change.experiment, change.upto)


async def _compare(connection: Connection, change: _Change) -> list[Record]:
    rows: list[Record] = []
    for name, arguments in change.arguments().items():
        rows += await connection.fetch(_with_change("compare", name), *arguments)
    rows += await connection.fetch(_SQL["compare_user_days"], change.experiment)
    rows += await guard_counters.compare(connection, change.experiment, change.since, change.upto)
    return rows + await connection.fetch(_SQL["compare_head"], change.experiment, change.upto)


@cache
def _with_change(what: str, name: str) -> str:
    """The query that adds, or compares, what changes in one of the tables."""
    return _SQL[f"{what}_{name}"].replace(f"{{{name}}}", _SQL[name])
