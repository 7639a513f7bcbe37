"""Intervals that hold at every moment of a growing log at once: look whenever you like, stop when you like."""

from __future__ import annotations

import copy
import math
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pullarm.statistics import mixture
from replay.estimators import base as estimators
from replay.intervals import base

NARROWEST_AT = 10_000  # rounds
TYPICAL_SQUARES = 10_000.0


class AsympCS(base.Interval):
    """A confidence sequence by a central limit theorem that holds uniformly in time; give it a DR estimator.

    The estimate must be about normal from the first look on. Clustered by user as the normal interval, whose width it
    has some 1.6 times. On a log whose policy learnt as it went, it is about the mean of what the target earns at the
    contexts met.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (arXiv 2103.06476), with tau from the current deviation.

    Args:
        narrowest_at: rounds at which it is narrowest, >= 1.
    """

    def __init__(
        self, estimator: estimators.Estimator, *, narrowest_at: int = NARROWEST_AT
    ) -> None:
        super().__init__(estimator)
        if narrowest_at < 1:
            raise ValueError(f"narrowest_at must be at least 1, not {narrowest_at}")
        self._narrowest_at = narrowest_at

    def _bounds(self, sums: NDArray[np.float64], alpha: float) -> base.Bounds:
        totals = sums.sum(axis=1)
        middle, error = float(estimators.estimate(totals)), base.standard_error(sums)
        if error == 0.0:
            return base.Bounds(middle, middle)
        then = error * math.sqrt(float(totals[0]) / self._narrowest_at)
        tau = mixture.narrowest(then, alpha=alpha)
        half = float(mixture.radius(error, tau=tau, alpha=alpha))
        return base.Bounds(middle - half, middle + half)


class EmpiricalBernstein:
    """A confidence sequence without any limit theorem: rewards are 0 to 1, weights may be as large as they like.

    For x >= 0 and l >= 0, exp(l x - l^2 x^2 / 2) <= 1 + l x, so that exp(l (sum x - n mean) - l^2 / 2 sum x^2) is a
    supermartingale; mixed over l ~ |N(0, 1 / typical_squares)|. With x = w r it bounds the value from below, with x =
    w (1 - r) from above. The mean is that of the rounds met, given what went before each: users need no clusters, and
    a logging policy may learn.

    Source: Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences"
    (Annals of Statistics 2021), self-normalised by squares about 0, which needs no bound on weights; Waudby-Smith, Wu,
    Ramdas, Karampatziakis and Mineiro, "Anytime-valid off-policy inference" (arXiv 2210.10768), for the reflection.

    Args:
        typical_squares: the sum of squares of x at which it is narrowest, above 0.
    """

    def __init__(self, *, typical_squares: float = TYPICAL_SQUARES) -> None:
        self._tau = 1.0 / math.sqrt(estimators.positive("typical_squares", typical_squares))
        self._sums = np.zeros(5)  # rounds; x and x^2 of what was earned, and of what was missed

    def add(self, rounds: estimators.Rounds) -> None:
        """Take in a batch; raises ValueError for rewards outside 0 to 1."""
        if not ((rounds.reward >= 0.0) & (rounds.reward <= 1.0)).all():
            raise ValueError("rewards must be within 0 to 1 for this interval")
        earned = rounds.weight * rounds.reward
        missed = rounds.weight - earned
        squares = earned @ earned, missed @ missed
        self._sums += np.array(
            [len(earned), earned.sum(), squares[0], missed.sum(), squares[1]], dtype=np.float64
        )

    def get(self, alpha: float) -> base.Bounds:
        """Within 0 to 1, with probability 1 - alpha at all times at once; 0 and 1 without rounds.

        Raises:
            ValueError: unless alpha is in (0, 1).
        """
        base.checked(alpha)
        n, earned, earned_squares, missed, missed_squares = self._sums.tolist()
        least = self._least(n, earned, earned_squares, alpha / 2.0)
        most = 1.0 - self._least(n, missed, missed_squares, alpha / 2.0)
        return base.Bounds(min(least, 1.0), max(most, 0.0))

    def __add__(self, other: Self) -> Self:
        """The interval of both logs together."""
        whole = copy.copy(self)
        whole._sums = self._sums + other._sums
        return whole

    def _least(self, n: float, total: float, squares: float, alpha: float) -> float:
        """The smallest mean >= 0 that is not refuted at alpha."""
        if squares == 0.0:
            return 0.0
        from scipy.optimize import brentq

        def beyond(excess: float) -> float:
            error = 1.0 / math.sqrt(squares)
            log_e = mixture.log_e_above(excess / squares, error, tau=self._tau)
            return float(log_e) + math.log(alpha)

        far = 1.0
        while beyond(far) < 0.0:
            far *= 2.0
        return max(0.0, (total - float(brentq(beyond, 0.0, far))) / n)
