"""Intervals that hold at every moment of a growing log at once: look whenever you like, stop when you like."""

from __future__ import annotations

import copy
import math
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pullarm.statistics import mixture
from replay.estimators import base as estimators
from replay.intervals import base

NARROWEST_AT = 10_000  # rounds


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
        middle, error = float(estimators.estimate(totals)), base.standard_error(self.estimator)
        if error == 0.0:
            return base.Bounds(middle, middle)
        then = error * math.sqrt(float(totals[0]) / self._narrowest_at)
        tau = mixture.narrowest(then, alpha=alpha)
        half = float(mixture.radius(error, tau=tau, alpha=alpha))
        return base.Bounds(middle - half, middle + half)


class EmpiricalBernstein:
    """A confidence sequence without any limit theorem: rewards are 0 to 1, weights may be as large as they like.

    exp(l (sum x - n mean) - psi(l) sum (x - c)^2) is a supermartingale for x >= 0 where c is 0 and psi(l) = l^2 / 2,
    since exp(y - y^2 / 2) <= 1 + y; and where c is 1 and psi(l) = -ln(1 - l) - l, l < 1 (Fan's inequality). With x =
    w r and c = 0 it bounds the value from below, with x = w (1 - r) and c = 1 from above: a rare reward is near
    these. It is averaged over `_RATES`. The mean is that of the rounds met, given what went before each, so that
    users need no clusters and a logging policy may learn.

    Source: Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences"
    (Annals of Statistics 2021); Waudby-Smith, Wu, Ramdas, Karampatziakis and Mineiro, "Anytime-valid off-policy
    inference" (arXiv 2210.10768), for unbounded weights and the reflection.
    """

    def __init__(self) -> None:
        self._sums = np.zeros(
            5
        )  # rounds; x and (x - c)^2 of what was earned, and of what was missed

    def add(self, rounds: estimators.Rounds) -> None:
        """Take in a batch; raises ValueError for rewards outside 0 to 1."""
        if not ((rounds.reward >= 0.0) & (rounds.reward <= 1.0)).all():
            raise ValueError("rewards must be within 0 to 1 for this interval")
        earned = rounds.weight * rounds.reward
        missed = rounds.weight - earned
        squares = np.square(earned).sum(), np.square(missed - 1.0).sum()
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
        if n == 0.0:
            return base.Bounds(0.0, 1.0)
        least = (earned - _excess(_RATES**2 / 2.0 * earned_squares, alpha / 2.0)) / n
        psi = -np.log1p(-_RATES) - _RATES
        most = 1.0 - (missed - _excess(psi * missed_squares, alpha / 2.0)) / n
        return base.Bounds(min(max(least, 0.0), 1.0), max(min(most, 1.0), 0.0))

    def __add__(self, other: Self) -> Self:
        """The interval of both logs together."""
        whole = copy.copy(self)
        whole._sums = self._sums + other._sums
        return whole


_RATES = np.logspace(-1, -16, num=16, base=2.0)


def _excess(variance: ArrayLike, alpha: float) -> float:
    """How far sum x may lie above n * mean before the average of exp(rate excess - variance) reaches 1 / alpha."""
    from scipy.optimize import brentq
    from scipy.special import logsumexp

    def beyond(excess: float) -> float:
        return float(logsumexp(_RATES * excess - np.asarray(variance))) + math.log(
            alpha / len(_RATES)
        )

    far = 1.0
    while beyond(far) < 0.0:
        far *= 2.0
    return float(brentq(beyond, 0.0, far))
