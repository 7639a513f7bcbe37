"""Sums over decisions by time, arm or cohort, as roll-ups keep them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pullarm.domain.assignment import MICRO

GROUPS = 200
"""Groups of users that roll-ups tell apart, so that rates have intervals; fixed with what is stored."""


def group_of(unit_hash: int) -> int:
    """The group of a unit, from 0; `group_of` of migration 0013 is the same."""
    return (unit_hash & (2**63 - 1)) % GROUPS


class Grain(StrEnum):
    """How long the buckets of a time series are; they begin with whole ones in UTC."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"

    @property
    def width(self) -> timedelta:
        """Of one bucket."""
        return _WIDTHS[self]


_WIDTHS = {grain: timedelta(**{f"{grain}s": 1}) for grain in Grain}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The buckets that begin in [since, until), aware times."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What came of some serves. An interval of their rate needs users as its units, which these sums do not tell."""

    serves: int
    rewarded: int
    """Serves with a credit above zero."""
    credit_micro: int
    """Credits in millionths."""

    def __add__(self, other: "Counts") -> "Counts":
        """Of both."""
        return Counts(
            serves=self.serves + other.serves,
            rewarded=self.rewarded + other.rewarded,
            credit_micro=self.credit_micro + other.credit_micro,
        )

    @property
    def rate(self) -> float | None:
        """Mean credit a serve; None before the first serve."""
        return self.credit_micro / MICRO / self.serves if self.serves else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One policy in one bucket, by assigned policy."""

    begins_at: datetime
    policy: int
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortCounts:
    """One cohort, by assigned policy."""

    policy: int
    cohort: int
    counts: Counts
