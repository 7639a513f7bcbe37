"""Reads the roll-ups: figures over time, by arm and by cohort, however many decisions there are."""

from collections.abc import Sequence
from datetime import UTC, datetime

from asyncpg import Record

from pullarm.domain.errors import invalid
from pullarm.domain.experiment import POLICY_NUMBERS
from pullarm.domain.rollup import ArmCounts, CohortCounts, Counts, Grain, Point, Span
from pullarm.storage.postgres.database import Database, queries

_SQL = queries("series")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POLICIES = {Grain.MINUTE: 1, Grain.HOUR: 2, Grain.DAY: 3}
_ARMS = {Grain.HOUR: 4, Grain.DAY: 6}
_COHORTS = {Grain.DAY: 5}
_Marginals = dict[Grain, int]
"""By grain, the finest first."""


class PostgresSeries:
    """Figures of one experiment, as far as the statistics stage is; buckets without serves are left out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def timeseries(self, experiment: int, span: Span, grain: Grain) -> list[Point]:
        """By bucket and assigned policy, in their order."""
        first, last = _buckets(span, grain)
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["series"], experiment, _POLICIES[grain], first, last)
        return [_point(row, grain) for row in rows]

    async def arms_timeseries(
        self, experiment: int, span: Span, grain: Grain, arms: Sequence[int]
    ) -> list[Point]:
        """By bucket and acting policy: these arms together, in the first slot.

        Raises InvalidInput for minutes, which are not kept by arm.
        """
        return await self._items_timeseries(experiment, span, grain, _ARMS, arms)

    async def cohorts_timeseries(
        self, experiment: int, span: Span, grain: Grain, cohorts: Sequence[int]
    ) -> list[Point]:
        """By bucket and assigned policy: these cohorts together; raises InvalidInput unless by days."""
        return await self._items_timeseries(experiment, span, grain, _COHORTS, cohorts)

    async def policies(self, experiment: int, span: Span) -> dict[int, Counts]:
        """By assigned policy, over the minutes of a span."""
        return {
            row["policy"]: _counts(row) for row in await self._sums(experiment, span, _POLICIES)
        }

    async def arms(self, experiment: int, span: Span) -> list[ArmCounts]:
        """By acting policy, arm and group of slots, over the hours of a span."""
        return [
            ArmCounts(
                policy=row["policy"],
                arm_no=row["item"],
                first_slot=1 << row["slot_group"],
                counts=_counts(row),
            )
            for row in await self._sums(experiment, span, _ARMS)
        ]

    async def cohorts(self, experiment: int, span: Span) -> list[CohortCounts]:
        """By assigned policy and cohort, over the days of a span."""
        return [
            CohortCounts(policy=row["policy"], cohort=row["item"], counts=_counts(row))
            for row in await self._sums(experiment, span, _COHORTS)
        ]

    async def _items_timeseries(
        self,
        experiment: int,
        span: Span,
        grain: Grain,
        marginals: _Marginals,
        items: Sequence[int],
    ) -> list[Point]:
        if grain not in marginals:
            raise invalid("grain", f"must be {' or '.join(marginals)} with this filter")
        policies = [0, *POLICY_NUMBERS.values()]
        given = experiment, marginals[grain], *_buckets(span, grain), policies, items
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["items_series"], *given)
        return [_point(row, grain) for row in rows]

    async def _sums(self, experiment: int, span: Span, marginals: _Marginals) -> list[Record]:
        parts = _cover(span, list(marginals.items()))
        columns = list(zip(*parts, strict=True)) if parts else [(), (), ()]
        async with self._database.transaction() as connection:
            await connection.execute(_SQL["prepare"])
            return await connection.fetch(_SQL["sums"], experiment, *columns)


def _buckets(span: Span, grain: Grain) -> tuple[int, int]:
    """The first bucket that begins in a span, and the one after the last."""
    first, last = (-((_EPOCH - end) // grain.width) for end in (span.since, span.until))
    return first, last


def _cover(span: Span, marginals: Sequence[tuple[Grain, int]]) -> list[tuple[int, int, int]]:
    """(marginal, first bucket, the one after the last) that make up a span: coarse ones inside, finer ones at its ends.

    `marginals` has the finest first, whose buckets that begin in the span are those that are meant.
    """
    if span.since >= span.until:
        return []
    *finer, (grain, marginal) = marginals
    first, last = _buckets(span, grain)
    if not finer:
        return [(marginal, first, last)]
    last = (span.until - _EPOCH) // grain.width
    if first >= last:
        return _cover(span, finer)
    before = Span(since=span.since, until=_EPOCH + first * grain.width)
    after = Span(since=_EPOCH + last * grain.width, until=span.until)
    return [*_cover(before, finer), (marginal, first, last), *_cover(after, finer)]


def _point(row: Record, grain: Grain) -> Point:
    return Point(
        begins_at=_EPOCH + row["bucket"] * grain.width, policy=row["policy"], counts=_counts(row)
    )


def _counts(row: Record) -> Counts:
    return Counts(
        serves=row["serves"],
        rewarded=row["rewarded"],
        credit_micro=row["credit"],
    )
