"""Reads what groups of users did: rates and lifts with intervals for any hours, policies and cohorts."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from pullarm.domain.experiment import POLICY_NUMBERS
from pullarm.domain.rollup import GROUPS, Grain, Span
from pullarm.statistics.jackknife import GroupSums
from pullarm.storage.postgres.database import Database, queries

_SQL = queries("user_groups")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOURS = 24
_STRIPE = 25
"""Groups in one row."""
_ALL = -1
"""In place of a cohort: all of them together."""

_SENT = np.dtype([("head", "V20"), ("cells", [("bytes", ">i4"), ("value", ">i8")], (_STRIPE,))])
"""An array of one stripe in PostgreSQL's binary form: dimensions, then each value after its length."""

_Stretch = tuple[int, int, int]
"""Hours a bucket has, the first bucket, and the one after the last."""


class PostgresUserGroups:
    """What groups of users did in one experiment, as far as the statistics stage is."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def policies(self, experiment: int, span: Span) -> dict[int, GroupSums]:
        """By assigned policy, over the hours that begin in a span; what had no serves is left out."""
        found = await self._sums(experiment, span, [_ALL])
        return {policy: sums for (policy, _), sums in found.items()}

    async def cohorts(
        self, experiment: int, span: Span, *, only: Sequence[int] | None = None
    ) -> dict[tuple[int, int], GroupSums]:
        """By assigned policy and cohort, likewise; of some cohorts only, where they are given.

        The sums of several cohorts, added up, are those of all their users. Whole days (UTC) are quick to read:
        hours at both ends of a span are as many rows as six weeks.
        """
        return await self._sums(experiment, span, only)

    async def timeseries(
        self, experiment: int, span: Span, grain: Grain, *, cohort: int | None = None
    ) -> dict[tuple[datetime, int], GroupSums]:
        """By bucket, hours or days that begin in a span, and assigned policy; of one cohort only, where it is given."""
        first, until = (-((_EPOCH - end) // grain.width) for end in (span.since, span.until))
        place = grain.width // Grain.HOUR.width, first, until
        of = list(POLICY_NUMBERS.values()), _ALL if cohort is None else cohort
        async with self._database.transaction() as connection:
            await connection.execute(_SQL["prepare"])
            rows = await connection.fetch(_SQL["series"], experiment, *place, *of)
        places: dict[tuple[int, int], int] = {}
        at = [places.setdefault((row["bucket"], row["policy"]), len(places)) for row in rows]
        stripes = [row["stripe"] for row in rows]
        m, c = (
            _vectors(len(places), at, stripes, [row[name] for row in rows]) for name in ("m", "c")
        )
        seen = np.flatnonzero(m.any(-1)).tolist()
        keys = list(places)
        return {
            (_EPOCH + keys[n][0] * grain.width, keys[n][1]): GroupSums(m[n], c[n]) for n in seen
        }

    async def _sums(
        self, experiment: int, span: Span, cohorts: Sequence[int] | None
    ) -> dict[tuple[int, int], GroupSums]:
        async with self._database.transaction() as connection:
            await connection.execute(_SQL["prepare"])
            stretches = [list(column) for column in zip(*_stretches(span), strict=True)]
            rows = await connection.fetch(_SQL["sums"], experiment, *stretches, cohorts)
        found: dict[tuple[int, int], GroupSums] = {}
        for row in rows:
            m, c = np.zeros(GROUPS, np.int64), np.zeros(GROUPS, np.int64)
            m[row["groups"]], c[row["groups"]] = row["m"], row["c"]
            if m.any():
                found[row["policy"], row["cohort"]] = GroupSums(m, c)
        return found


def _vectors(
    n_places: int, places: Sequence[int], stripes: Sequence[int], sent: Sequence[bytes]
) -> NDArray[np.int64]:
    """(n_places, n_groups): what was sent as arrays of stripes, each at its place and stripe."""
    whole = np.zeros((n_places, GROUPS // _STRIPE, _STRIPE), np.int64)
    whole[places, stripes] = np.frombuffer(b"".join(sent), _SENT)["cells"]["value"]
    return whole.reshape(n_places, GROUPS)


def _stretches(span: Span) -> list[_Stretch]:
    """Whole days, and the hours before and after them, that together are the hours of a span."""
    first, until = (-((_EPOCH - end) // Grain.HOUR.width) for end in (span.since, span.until))
    first_day, until_day = -(-first // _HOURS), until // _HOURS
    if first_day >= until_day:
        return [(1, first, until)]
    return [
        (1, first, first_day * _HOURS),
        (_HOURS, first_day, until_day),
        (1, until_day * _HOURS, until),
    ]
