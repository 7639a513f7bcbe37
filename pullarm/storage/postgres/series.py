"""Reads the roll-ups: figures over time, by arm and by cohort, however many decisions there are."""

from datetime import UTC, datetime

from asyncpg import Record

from pullarm.domain.errors import invalid
from pullarm.domain.rollup import ArmCounts, CohortCounts, Counts, Grain, Point, Span
from pullarm.storage.postgres.database import Database, queries

_SQL = queries("series")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MARGINALS = {Grain.MINUTE: 1, Grain.HOUR: 2, Grain.DAY: 3}
_ARMS = {Grain.HOUR: 4, Grain.DAY: 6}
_COHORTS = 5


class PostgresSeries:
    """Figures of one experiment, as far as the statistics stage is; buckets without serves are left out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def timeseries(self, experiment: int, span: Span, grain: Grain) -> list[Point]:
        """By bucket and assigned policy, in their order."""
        rows = await self._rows("series", experiment, span, _MARGINALS[grain], grain)
        return [
            Point(
                begins_at=_EPOCH + row["bucket"] * grain.width,
                policy=row["policy"],
                counts=_counts(row),
            )
            for row in rows
        ]

    async def arms(self, experiment: int, span: Span, grain: Grain) -> list[ArmCounts]:
        """By acting policy, arm and group of slots, over the hours or days of a span; days are read sooner.

        Raises InvalidInput for minutes, which are not kept by arm.
        """
        if grain not in _ARMS:
            raise invalid("grain", "must be hour or day: arms are not told by the minute")
        return [
            ArmCounts(
                policy=row["policy"],
                arm_no=row["item"],
                first_slot=1 << row["slot_group"],
                counts=_counts(row),
            )
            for row in await self._rows("items", experiment, span, _ARMS[grain], grain)
        ]

    async def cohorts(self, experiment: int, span: Span) -> list[CohortCounts]:
        """By assigned policy and cohort, over the days of a span."""
        return [
            CohortCounts(policy=row["policy"], cohort=row["item"], counts=_counts(row))
            for row in await self._rows("items", experiment, span, _COHORTS, Grain.DAY)
        ]

    async def _rows(
        self, query: str, experiment: int, span: Span, marginal: int, grain: Grain
    ) -> list[Record]:
        first, last = (-((_EPOCH - end) // grain.width) for end in (span.since, span.until))
        async with self._database.connection() as connection:
            return await connection.fetch(_SQL[query], experiment, marginal, first, last)


def _counts(row: Record) -> Counts:
    return Counts(
        serves=row["serves"],
        rewarded=row["rewarded"],
        credit_micro=row["credit"],
        squared_micro=int(row["credit_squared"]),
    )
