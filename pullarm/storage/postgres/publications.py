"""The publisher's side of the ledger: what has changed since the last publication, and the numbers of the next."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from struct import pack
from typing import NamedTuple
from uuid import UUID

from pullarm.domain.assignment import MICRO
from pullarm.domain.audit import Author
from pullarm.domain.errors import VersionMismatch
from pullarm.domain.experiment import Experiment, State
from pullarm.domain.ports import Revision
from pullarm.domain.publication import Head, PosteriorCell, Publication, warmed
from pullarm.domain.transitions import changed
from pullarm.domain.weighting import Weighting, published
from pullarm.storage.postgres import weightings
from pullarm.storage.postgres.database import Connection, Database, queries
from pullarm.storage.postgres.experiments import PostgresExperiments, read_experiment
from pullarm.storage.postgres.incarnation import open_incarnation
from pullarm.storage.postgres.times import at

_SQL = queries("publications")
CELL = "<qqqq"
"""One cell of a checkpoint: policy, arm number, serves, rewards in millionths."""
CHECKPOINT_FOLDS = 1_000
"""A checkpoint is kept with the first publication so many folds after the last: so many a past posterior is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The quadrature grid of a publication: its number, and its points where they are new."""

    number: int
    points: bytes | None


Plan = Callable[[Experiment, int, bool, list[PosteriorCell]], Awaitable[Planned]]
"""(experiment, present grid number, complete, cells) -> the grid to publish."""


class PostgresPublications:
    """Makes publications, one publisher for each experiment at a time."""

    def __init__(self, database: Database, *, checkpoint_folds: int = CHECKPOINT_FOLDS) -> None:
        self._database = database
        self._checkpoint_folds = checkpoint_folds
        self._read: dict[int, _Read] = {}
        """Experiments as last read: a thousand arms take longer than all else of a publication."""

    async def due(self, now_ms: int) -> list[int]:
        """Experiments whose newest publication is behind their configuration, their fold or the time."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["due"], at(now_ms))
        return [row["experiment_id"] for row in rows]

    async def experiments(self) -> dict[int, int]:
        """The newest publication of every experiment; 0 before the first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["experiments"])
        return {row["experiment_id"]: row["pub_no"] for row in rows}

    async def incarnation(self) -> str:
        """Which life of the ledger this is."""
        async with self._database.connection() as connection:
            return str(await connection.fetchval(_SQL["incarnation"]))

    async def unstopped(self, halted: Sequence[int]) -> list[int]:
        """Which of these experiments the ledger does not know to be stopped."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["unstopped"], halted)
        return [row["experiment_id"] for row in rows]

    async def stop(self, number: int, note: str, now_ms: int) -> None:
        """Store that an experiment is stopped."""
        async with self._database.connection() as connection:
            experiment = await read_experiment(connection, number)
        change = changed(experiment, "stop", State.STOPPED)
        await self._revise(experiment, replace(change, author=_halt(note)), now_ms)

    async def roll_back(self, number: int, guard_epoch: int, note: str, now_ms: int) -> int | None:
        """Store a rollback of this guard epoch where the ledger does not know of it yet.

        Answers the present guard epoch where that is a later one: then it was resumed.
        """
        async with self._database.connection() as connection:
            experiment = await read_experiment(connection, number)
        if experiment.guard_epoch > guard_epoch:
            return experiment.guard_epoch
        if experiment.state in (State.RUNNING, State.SHIPPED):
            change = changed(experiment, "rollback", State.ROLLED_BACK)
            await self._revise(experiment, replace(change, author=_halt(note)), now_ms)
        return None

    async def _revise(self, experiment: Experiment, change: Revision, now_ms: int) -> None:
        with suppress(VersionMismatch):  # it is done with the next look
            await PostgresExperiments(self._database).revise(experiment, change, now_ms)

    async def moved(self, incarnation: str) -> bool:
        """Whether this life of the ledger began in another PostgreSQL, and so is here from a backup."""
        async with self._database.connection() as connection:
            return bool(await connection.fetchval(_SQL["moved"], UUID(incarnation)))

    async def reopen(self, was: str, now_ms: int) -> str | None:
        """Begin a new life of a ledger that was put back; None where another process has done so."""
        async with self._database.transaction() as connection:
            return await open_incarnation(connection, was, at(now_ms))

    @asynccontextmanager
    async def owning(self, number: int) -> AsyncIterator["Publishing | None"]:
        """Be the one publisher of an experiment, or None where another process is."""
        async with self._database.connection() as connection:
            if not await connection.fetchval(_SQL["try_lock"], number):
                yield None
                return
            try:
                yield Publishing(connection, number, self._checkpoint_folds, self._read)
            finally:
                await connection.execute(_SQL["unlock"], number)


def _halt(note: str) -> Author:
    """Of what serving was told of while the ledger was away."""
    return Author("halt", "worker", note or "it was made while the ledger was away")


class _Read(NamedTuple):
    version: tuple[str, int]
    """Incarnation of the ledger and number of the configuration."""
    experiment: Experiment


@dataclass(frozen=True, slots=True)
class Publishing:
    """The right to publish one experiment."""

    connection: Connection
    number: int
    checkpoint_folds: int
    read: dict[int, "_Read"]

    async def grid(self, grid_no: int) -> bytes | None:
        """The points of a grid that was published before."""
        points: bytes | None = await self.connection.fetchval(_SQL["grid"], self.number, grid_no)
        return points

    async def next(
        self, *, have_pub_no: int | None, as_of_ms: int, kernel: int, plan: Plan
    ) -> Publication | None:
        """Record the next publication, read in one snapshot.

        It is the difference to the newest one where the caller has exactly that (have_pub_no), else complete. None when
        there is nothing new, unless have_pub_no is None: then a complete one is made whatever there is.
        """
        async with self.connection.transaction(isolation="repeatable_read"):
            newest = await self.connection.fetchrow(_SQL["newest"], self.number)
            head = await self.connection.fetchrow(_SQL["head"], self.number)
            assert head is not None  # made together with the experiment
            experiment = await self._experiment(str(head["incarnation"]), head["config_no"])
            previous, folded, config_no, grid_no, weighted = newest or (0, 0, 0, 0, 0)
            weighting = await weightings.current(
                self.connection,
                experiment,
                weightings.Before(weighted, config_no, folded),
                head["fold_no"],
                as_of_ms,
            )
            weighting_no = weighting.number if weighting else 0
            reweighted = weighting_no != weighted
            news = (folded, config_no) != (head["fold_no"], experiment.config_no) or reweighted
            if not news and have_pub_no is not None:
                return None
            complete = have_pub_no != previous or newest is None or reweighted
            told = 0 if complete else await self._arms_in(config_no, experiment)
            if weighting is not None and told != len(experiment.arms):
                complete, told = True, 0  # what is known of new arms is added up whole
            since = None if complete else folded
            if weighting is None:
                cells = await self._cells(since, told + 1, len(experiment.arms))
            else:
                cells = await self._weighted_cells(weighting, head["fold_no"], since)
            cells = warmed(cells, experiment.arms, since=told)
            planned = await plan(experiment, grid_no, complete, cells)
            next_head = Head(
                incarnation=str(head["incarnation"]),
                pub_no=previous + 1,
                fold_no=head["fold_no"],
                config_no=experiment.config_no,
                as_of_ms=as_of_ms,
                grid_no=planned.number,
                kernel=kernel,
                arms=experiment.arms[-1].arm_no if experiment.arms else 0,
            )
            await self._record(next_head, planned, grid_no, weighting_no)
        return Publication(
            experiment=experiment,
            head=next_head,
            previous_pub_no=previous,
            previous_fold_no=folded,
            complete=complete,
            reconfigured=complete or config_no != experiment.config_no,
            cells=cells,
            grid=planned.points,
        )

    async def _experiment(self, incarnation: str, config_no: int) -> Experiment:
        """The experiment in this version; read again only where it was changed."""
        known = self.read.get(self.number)
        if known is None or known.version != (incarnation, config_no):
            experiment = await read_experiment(self.connection, self.number)
            known = self.read[self.number] = _Read((incarnation, config_no), experiment)
        return known.experiment

    async def _arms_in(self, config_no: int, experiment: Experiment) -> int:
        """How many arms an earlier version of the experiment had."""
        if config_no == experiment.config_no:
            return len(experiment.arms)
        return int(await self.connection.fetchval(_SQL["arms_in"], self.number, config_no))

    async def _cells(self, since: int | None, first: int, last: int) -> list[PosteriorCell]:
        """All cells, or those changed by the folds after `since` and those of the arms from first to last."""
        if since is None:
            rows = await self.connection.fetch(_SQL["all_cells"], self.number)
        else:
            rows = await self.connection.fetch(
                _SQL["changed_cells"], self.number, since, first, last
            )
        return [(r["policy"], r["arm_no"], r["n"] * MICRO, r["s"]) for r in rows]

    async def _weighted_cells(
        self, weighting: Weighting, fold_no: int, since: int | None
    ) -> list[PosteriorCell]:
        """As published under these weights: all cells, or those changed by the folds after `since`.

        All sums are kept when a weighting is new and whenever a checkpoint was, because a rebuild leaves one too.
        """
        sums = await weightings.sums(self.connection, self.number, weighting, since)
        if await weightings.checkpoint_due(self.connection, self.number, weighting.number):
            whole = (
                await weightings.sums(self.connection, self.number, weighting)
                if since is not None
                else sums
            )
            await weightings.add_checkpoint(
                self.connection, self.number, weighting.number, fold_no, whole
            )
        return [(*cell, *published(*found)) for cell, found in sums.items()]

    async def _record(
        self, head: Head, planned: Planned, previous_grid: int, weighting_no: int
    ) -> None:
        if planned.points is not None and planned.number != previous_grid:
            await self.connection.execute(
                _SQL["add_grid"], self.number, planned.number, planned.points
            )
        await self.connection.execute(
            _SQL["add"],
            self.number,
            head.pub_no,
            head.incarnation,
            head.fold_no,
            head.config_no,
            at(head.as_of_ms),
            head.grid_no,
            head.kernel,
            weighting_no,
        )
        last = await self.connection.fetchval(_SQL["last_checkpoint"], self.number)
        if head.fold_no >= last + self.checkpoint_folds:
            await keep_checkpoint(self.connection, self.number, head.fold_no)


async def keep_checkpoint(connection: Connection, number: int, fold_no: int) -> None:
    """Keep the posterior as it is as that of a fold, which the transaction must see as the newest."""
    cells = await connection.fetch(_SQL["all_cells"], number)
    packed = b"".join(pack(CELL, r["policy"], r["arm_no"], r["n"], r["s"]) for r in cells)
    await connection.execute(_SQL["add_checkpoint"], number, fold_no, packed)
