"""Reads the roll-ups: figures over time, by arm and by cohort, however many decisions there are."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
from asyncpg import Record
from numpy.typing import NDArray

from pullarm.domain.errors import invalid
from pullarm.domain.experiment import POLICY_NUMBERS
from pullarm.domain.rollup import CohortCounts, Counts, Grain, Point, Span
from pullarm.statistics.arm_counts import ArmCounts
from pullarm.storage.postgres.database import Database, queries
from pullarm.storage.postgres.packed import columns

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
        found = await self._sums(experiment, span, _POLICIES)
        return dict(zip(found["policy"].tolist(), _each(found), strict=True))

    async def arms(self, experiment: int, span: Span) -> ArmCounts:
        """By acting policy, arm and group of slots, over the hours of a span."""
        found = await self._sums(experiment, span, _ARMS)
        return ArmCounts(
            policies=found["policy"],
            arm_nos=found["item"],
            first_slots=1 << found["slot_group"],
            serves=found["serves"],
            rewarded=found["rewarded"],
            credits_micro=found["credit"],
        )

    async def cohorts(self, experiment: int, span: Span) -> list[CohortCounts]:
        """By assigned policy and cohort, over the days of a span."""
        found = await self._sums(experiment, span, _COHORTS)
        return [
            CohortCounts(policy=policy, cohort=cohort, counts=counts)
            for policy, cohort, counts in zip(
                found["policy"].tolist(), found["item"].tolist(), _each(found), strict=True
            )
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

    async def _sums(
        self, experiment: int, span: Span, marginals: _Marginals
    ) -> dict[str, NDArray[np.int64]]:
        """Columns by policy, item and slot_group, in this order."""
        parts = _cover(span, list(marginals.items()))
        given = list(zip(*parts, strict=True)) if parts else [(), (), ()]
        async with self._database.transaction() as connection:
            await connection.execute(_SQL["prepare"])
            packed = await connection.fetchrow(_SQL["sums"], experiment, *given)
        found = columns(packed)
        order = np.lexsort((found["slot_group"], found["item"], found["policy"]))
        return {name: column[order].astype(np.int64) for name, column in found.items()}


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


def _each(sums: Mapping[str, NDArray[np.int64]]) -> Iterator[Counts]:
    """The counts of every row."""
    of = (sums[name].tolist() for name in ("serves", "rewarded", "credit"))
    for serves, rewarded, credit in zip(*of, strict=True):
        yield Counts(serves=serves, rewarded=rewarded, credit_micro=credit)


def _counts(row: Record) -> Counts:
    return Counts(
        serves=row["serves"],
        rewarded=row["rewarded"],
        credit_micro=row["credit"],
    )
