"""Reward per impression where users are the independent units, and the log lift of one policy over another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Sufficient statistics of users with m impressions and reward c each; the sums of shards add up.

    c is in any unit of reward (clicks, or millionths of one), the same in whatever is compared. Sums of whole numbers
    stay whole, so they are exact in whatever order impressions, late rewards, voids and retractions came.

    Source: Deng, Knoblich and Lu, "Applying the Delta Method in Metric Analytics" (KDD 2018, arXiv 1803.06336),
    section 3.1; the variance is that of cluster-robust least squares, up to n / (n - 1).
    """

    n: float = 0
    """Users with at least one impression."""
    m: float = 0
    """Impressions: sum of m."""
    c: float = 0
    """Reward: sum of c."""
    mm: float = 0
    """Sum of m^2."""
    cc: float = 0
    """Sum of c^2."""
    mc: float = 0
    """Sum of m c."""

    @classmethod
    def of(cls, m: ArrayLike, c: ArrayLike) -> Self:
        """The sums over users, as float64; who has no impression adds nothing.

        Args:
            m: (n_users,) impressions, 0 or more.
            c: (n_users,) rewards.
        """
        seen, got = np.asarray(m, dtype=np.float64), np.asarray(c, dtype=np.float64)
        return cls(
            n=int(np.count_nonzero(seen)),
            m=float(seen.sum()),
            c=float(got.sum()),
            mm=float(seen @ seen),
            cc=float(got @ got),
            mc=float(seen @ got),
        )

    @classmethod
    def change(cls, m: float, c: float, *, impressions: float = 0, reward: float = 0) -> Self:
        """What to add when a user who had m impressions and reward c gets so many more.

        Negative ones take back: a void is impressions=-1, a retraction the reward's negative.

        Raises:
            ValueError: if less than no impression would be left.
        """
        left = m + impressions
        if left < 0:
            raise ValueError(f"impressions must leave 0 or more, not {m} + {impressions}")
        return cls(
            n=(left > 0) - (m > 0),
            m=impressions,
            c=reward,
            mm=impressions * (2 * m + impressions),
            cc=reward * (2 * c + reward),
            mc=left * reward + impressions * c,
        )

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            n=self.n + other.n,
            m=self.m + other.m,
            c=self.c + other.c,
            mm=self.mm + other.mm,
            cc=self.cc + other.cc,
            mc=self.mc + other.mc,
        )

    @property
    def ratio(self) -> float | None:
        """Reward per impression, sum of c / sum of m; None without impressions."""
        return self.c / self.m if self.m > 0 else None

    @property
    def variance(self) -> float | None:
        """Variance of the ratio, n / (n - 1) sum (c - ratio m)^2 / (sum of m)^2; None with fewer than two users."""
        if self.n < 2 or self.m <= 0:
            return None
        # Whole numbers until the division, so that nothing cancels.
        squares = self.cc * self.m**2 - 2 * self.mc * self.m * self.c + self.mm * self.c**2
        return max(self.n * squares / ((self.n - 1) * self.m**4), 0.0)


@dataclass(frozen=True, slots=True)
class LogLift:
    """An estimated logarithm of a ratio of ratios; approximately normal, unlike the lift itself."""

    value: float
    """ln(ratio of the treatment / ratio of the control): 0 is no difference, 0.03 about +3 %."""
    error: float
    """Its standard error, above 0."""

    @property
    def lift(self) -> float:
        """exp(value) - 1: 0.03 is +3 %."""
        return math.expm1(self.value)

    @property
    def z(self) -> float:
        """value / error."""
        return self.value / self.error

    @property
    def information(self) -> float:
        """1 / error^2: the clock of every sequential test, since users go on giving data between looks."""
        return self.error**-2

    def interval(self, z: float) -> tuple[float, float]:
        """The lifts z standard errors below and above: 1.96 for one look, a bound or a sequence's radius for more."""
        return math.expm1(self.value - z * self.error), math.expm1(self.value + z * self.error)


def log_lift(treatment: Sums, control: Sums) -> LogLift | None:
    """The log lift by the delta method, with policies as independent groups of users.

    None while it cannot be told: fewer than two users or nothing earned on a side, or no variation on both.

    It is conditional on what the policies learned in this run: a policy's users share one learning state, and how
    another run would have learned is not in the error.
    """
    above, below = _log_ratio(treatment), _log_ratio(control)
    if above is None or below is None or above[1] + below[1] <= 0.0:
        return None
    return LogLift(above[0] - below[0], math.sqrt(above[1] + below[1]))


def _log_ratio(sums: Sums) -> tuple[float, float] | None:
    """ln(ratio) and its variance, variance / ratio^2."""
    ratio, variance = sums.ratio, sums.variance
    if ratio is None or variance is None or ratio <= 0.0:
        return None
    return math.log(ratio), variance / ratio**2
