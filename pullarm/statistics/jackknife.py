"""Rates and lifts of whatever is filtered, from sums over groups of users: errors by leaving out one group at a time.

Users are in one of some hundred groups by a hash, whatever they do. Sums over groups add up over hours, cohorts and
whatever else decisions are told apart by, where those over users do not; and groups are independent of one another,
since users are. So a group does here what a user does for the exact errors (`ratio`).

Source: Quenouille (1956) and Tukey (1958); for ratios and groups of unequal size Kott, "The Delete-a-Group Jackknife",
Journal of Official Statistics 17 (2001), and Shao and Tu, "The Jackknife and Bootstrap" (1995), section 2.3. With 200
groups the error is itself uncertain by about 5 %, and t with 199 degrees of freedom allows for it.

Users who were shown two policies count with both here, each time with the policy of that time; the exact sums of users
leave out what came after the change. They are in the same group in both, so that a lift's error allows for them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pullarm.domain.assignment import MICRO
from pullarm.statistics import wilson


@dataclass(frozen=True, slots=True, eq=False)
class GroupSums:
    """What the users of each group did; the sums of parts add up. Of several parts at once they are (n, n_groups)."""

    m: NDArray[np.int64]  # (n_groups,)
    """Impressions."""
    c: NDArray[np.int64]  # (n_groups,)
    """Reward in millionths, at most a whole one an impression."""

    @classmethod
    def of_each(cls, parts: Sequence[GroupSums]) -> GroupSums:
        """Those of some parts at once, in their order; at least one."""
        return cls(np.stack([part.m for part in parts]), np.stack([part.c for part in parts]))

    def __add__(self, other: GroupSums) -> GroupSums:
        return GroupSums(self.m + other.m, self.c + other.c)

    def cumulated(self) -> GroupSums:
        """Of several parts, (n, n_groups): each with all before it."""
        return GroupSums(self.m.cumsum(0), self.c.cumsum(0))

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Which groups have impressions, (n_groups,)."""
        return self.m > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Reward an impression."""

    value: float
    error: float | None
    """Its standard error, with users as the independent units; None with fewer than two groups."""
    interval: tuple[float, float]
    """Wilson's, of 95 %, by as many independent impressions as the error tells; by groups where it tells none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupedLift:
    """The log lift of one policy over another."""

    value: float
    """ln(rate of the treatment / rate of the control)."""
    error: float
    """Its standard error, above 0."""
    degrees: int
    """Of freedom that the error has: groups with impressions on the side that has fewer, less one."""

    @property
    def lift(self) -> float:
        """exp(value) - 1: 0.03 is +3 %."""
        return math.expm1(self.value)

    def interval(self, alpha: float = 0.05) -> tuple[float, float]:
        """The lifts between which the true one is with confidence 1 - alpha, for a single look."""
        from scipy.special import stdtrit  # not with the module: storage imports it for GroupSums

        reach = float(stdtrit(self.degrees, 1.0 - alpha / 2.0)) * self.error
        return math.expm1(self.value - reach), math.expm1(self.value + reach)


def rate(sums: GroupSums) -> Rate | None:
    """The rate of all groups together; None without impressions."""
    return rates(GroupSums.of_each([sums]))[0]


def rates(sums: GroupSums) -> list[Rate | None]:
    """The rate of each of several parts, (n, n_groups), in their order; None without impressions."""
    errors = _error(_without_each(sums) / MICRO, sums.seen)
    columns = sums.m.sum(-1), sums.c.sum(-1), sums.seen.sum(-1), errors
    return [_rate(*each) for each in zip(*(column.tolist() for column in columns), strict=True)]


def _rate(trials: int, earned: int, groups: int, error: float) -> Rate | None:
    if trials == 0:
        return None
    value, told = earned / trials / MICRO, error if groups > 1 else None
    interval = wilson.clustered(value, told, trials=trials, clusters=groups)
    return Rate(value=value, error=told, interval=interval)


def log_lift(treatment: GroupSums, control: GroupSums) -> GroupedLift | None:
    """The log lift, each group left out on both sides at once.

    None while it cannot be told: impressions or reward in fewer than two groups of a side, or no variation.
    """
    sides = treatment, control
    if any(np.count_nonzero(each) < 2 for side in sides for each in (side.m, side.c)):
        return None
    left = np.log(_without_each(treatment)) - np.log(_without_each(control))
    error = float(_error(left, treatment.seen | control.seen))
    if error == 0.0:
        return None
    (above, below), groups = (
        (s.c.sum() / s.m.sum() for s in sides),
        min(s.seen.sum() for s in sides),
    )
    return GroupedLift(value=math.log(above / below), error=error, degrees=int(groups) - 1)


def _without_each(sums: GroupSums) -> NDArray[np.float64]:
    """Reward an impression without one of the groups, (..., n_groups); 0 without any."""
    m, c = (each.sum(-1, keepdims=True) - each for each in (sums.m, sums.c))
    left: NDArray[np.float64] = np.divide(c, m, out=np.zeros(m.shape), where=m > 0)
    return left


def _error(left: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The standard error, (...), of what these are without one group each that has impressions, (..., n_groups)."""
    groups = np.maximum(seen.sum(-1), 1)
    mean = (left * seen).sum(-1) / groups
    squares = (((left - mean[..., None]) * seen) ** 2).sum(-1)
    error: NDArray[np.float64] = np.sqrt((groups - 1) / groups * squares)
    return error
