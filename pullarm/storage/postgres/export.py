"""The ledger as a log of decisions with what came of them, page by page.

Every page is a short transaction of its own, because one long snapshot slows folds down many times over: it keeps
every row that they replace. So a log is not of one moment: each page is as the ledger was when it was read.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import msgspec

from pullarm.domain.analysis import EVERYTHING, DecisionFilter
from pullarm.domain.arms import statuses_at
from pullarm.domain.decision import make_uid
from pullarm.domain.experiment import POLICY_NAMES, POLICY_NUMBERS, ArmStatus, Experiment, Spec
from pullarm.policies.registry import check
from pullarm.storage.postgres.database import Connection, Database, queries
from pullarm.storage.postgres.times import ms

if TYPE_CHECKING:
    import pyarrow as pa

    from pullarm.storage.postgres.export_columns import Page

_SQL = queries("export")
_WORKER = ThreadPoolExecutor(1, "log")
_Done = TypeVar("_Done")
PAGE_DECISIONS = 12_000
_FIRST_PAGE = 250
_PAGE_BYTES = 8 << 20
_FIRST, _END = UUID(int=0), UUID(int=2**128 - 1)


async def in_turn(work: Callable[..., _Done], *given: object) -> _Done:
    """Work on a page of whatever log, on the one thread for that.

    Two threads would wait for each other's lock more than they win, and each keeps the memory of its largest page.
    """
    return await asyncio.get_running_loop().run_in_executor(_WORKER, work, *given)


class PostgresExport:
    """Reads one experiment's decisions with their rewards."""

    def __init__(self, database: Database, *, page_decisions: int = PAGE_DECISIONS) -> None:
        self._database = database
        self._page_decisions = page_decisions

    async def kinds(self, experiment: Experiment) -> tuple[str, ...]:
        """Every kind of reward that a version of the experiment declared, by name."""
        async with self._database.snapshot() as connection:
            versions = await _versions(connection, experiment)
        return versions.kinds

    async def pages(
        self,
        experiment: Experiment,
        kinds: Sequence[str],
        sought: DecisionFilter = EVERYTHING,
    ) -> "AsyncGenerator[pa.Table, None]":
        """The slots of the decisions that are sought, by decision uid and slot, in columns as `schema` names them.

        Decisions that filled no slot have no row, nor have those of which only rewards have come; neither has what is
        folded after the page that it belongs to was read.

        One page is read ahead, while the one before is made columns and written.

        Args:
            kinds: of rewards that have columns.
        """
        from pullarm.storage.log_columns import plain_bytes

        reader = _Reader(self._database, experiment, sought, self._page_decisions)
        coming = asyncio.ensure_future(reader.next())
        try:
            while (page := await coming) is not None:
                coming = asyncio.ensure_future(reader.next())
                table = await in_turn(page.table, kinds)
                reader.saw(page, plain_bytes(table))
                del page  # which is not needed while the table is written
                yield table
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


class _Reader:
    """Reads pages, each from where the one before ended."""

    def __init__(
        self, database: Database, experiment: Experiment, sought: DecisionFilter, most: int
    ) -> None:
        self._database = database
        self._experiment = experiment
        self._start, self._end = uid_span(sought.since, sought.until)
        self._fits = sought.policy, sought.arms, sought.cohort, sought.bucket
        self._most = most
        self._limit = min(_FIRST_PAGE, most)
        self._versions: _Versions | None = None

    async def next(self) -> "Page | None":
        """None where there are no more."""
        from pullarm.storage.postgres.export_columns import Page

        number, fits = self._experiment.number, self._fits
        async with self._database.snapshot() as connection:
            await connection.execute(_SQL["prepare"])
            keys = number, self._start, self._end, self._limit
            decisions = await connection.fetchrow(_SQL["page"], *keys, *fits)
            assert decisions is not None  # an aggregate has one row
            if not decisions["count"]:
                return None
            # Arms are registered with a new version, so this one's names are all there.
            if self._versions is None or self._versions.newest < decisions["newest"]:
                self._versions = await _versions(connection, self._experiment)
            span = decisions["first"], decisions["last"]
            credits = await connection.fetchrow(_SQL["credits"], number, *span, *fits)
            assert credits is not None  # likewise
        self._start = UUID(int=span[1].int + 1)
        return Page(decisions, credits, self._versions)

    def saw(self, page: "Page", size: int) -> None:
        """It takes so many bytes by column: the next are to be some megabytes."""
        fitting = _PAGE_BYTES * page.decisions["count"] // max(size, 1)
        self._limit = max(1, min(self._most, self._limit * 4, fitting))


def uid_span(since: datetime | None, until: datetime | None) -> tuple[UUID, UUID]:
    """The smallest uid of decisions made from `since` on, and that of those from `until` on; None is without end."""
    return _uid_at(since, _FIRST), _uid_at(until, _END)


def _uid_at(moment: datetime | None, otherwise: UUID) -> UUID:
    """The smallest uid of a moment."""
    return otherwise if moment is None else UUID(bytes=make_uid(ms(moment), bytes(10)))


async def _versions(connection: Connection, experiment: Experiment) -> "_Versions":
    arms = await connection.fetch(_SQL["arms"], experiment.number)
    statuses = await connection.fetch(_SQL["statuses"], experiment.number)
    revisions = await connection.fetch(_SQL["revisions"], experiment.number)
    return _Versions(
        experiment=experiment.id,
        arm_ids={row["arm_no"]: row["arm_id"] for row in arms},
        brought={row["arm_no"]: row["config_no"] for row in arms},
        moves=[(row["config_no"], row["arm_no"], ArmStatus(row["status"])) for row in statuses],
        specs={row["config_no"]: msgspec.convert(row["spec"], Spec) for row in revisions},
    )


@dataclass(frozen=True, kw_only=True)
class _Versions:
    """What an experiment's decisions are read with: its arms, and every version it had."""

    experiment: str
    arm_ids: Mapping[int, str]
    brought: Mapping[int, int]
    """By arm number: the version that brought it."""
    moves: Sequence[tuple[int, int, ArmStatus]]
    """(version, arm number, status), in the order of versions."""
    specs: Mapping[int, Spec]

    @cached_property
    def params(self) -> Mapping[tuple[int, str], Mapping[str, float | str]]:
        """By version and policy name, defaults filled in."""
        return {
            (config_no, name): check(name, spec.params_of(name))
            for config_no, spec in self.specs.items()
            for name in POLICY_NUMBERS
        }

    @property
    def newest(self) -> int:
        return max(self.specs)

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(sorted({k.name for spec in self.specs.values() for k in spec.reward.kinds}))

    @cached_property
    def window_hours(self) -> Mapping[int, float]:
        """By version: the longest window from it on."""
        newest_first = sorted(self.specs, reverse=True)
        windows = (self.specs[config_no].reward.window_hours for config_no in newest_first)
        return dict(zip(newest_first, accumulate(windows, max), strict=True))

    def floor(self, config_no: int, acting: int) -> float | None:
        """What the policy spread equally; epsilon-greedy's epsilon is one in all but name."""
        params = self.params.get((config_no, POLICY_NAMES[acting]), {})
        share = params.get("floor", params.get("epsilon"))
        return float(share) if share else None

    def active(self, config_no: int) -> tuple[int, ...] | None:
        """The numbers of the arms that were active in a version; None where the ledger has no such version."""
        if config_no not in self.specs:
            return None
        statuses = statuses_at(self.brought, self.moves, config_no)
        return tuple(arm for arm, status in statuses.items() if status is ArmStatus.ACTIVE)
