"""Intervals that are made of an estimator's sums by group of users."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from replay.estimators.base import Estimator, Rounds


class Bounds(NamedTuple):
    """Both ends; infinite where nothing can be said."""

    lower: float
    upper: float


UNKNOWN = Bounds(-math.inf, math.inf)


class Interval(ABC):
    """About what the estimator estimates; users are independent of each other, the rounds of one user are not."""

    def __init__(self, estimator: Estimator) -> None:
        self.estimator = estimator

    def add(self, rounds: Rounds) -> None:
        """Take in a batch; the estimator of the interval has it too."""
        self.estimator.add(rounds)

    def get(self, alpha: float) -> Bounds:
        """Covers with probability 1 - alpha; `UNKNOWN` with fewer than two groups of users, or without an estimate.

        Raises:
            ValueError: unless alpha is in (0, 1).
        """
        sums = clusters(self.estimator)
        known = checked(alpha) and sums.shape[1] >= 2 and self.estimator.get() is not None
        return self._bounds(sums, alpha) if known else UNKNOWN

    def __add__(self, other: Self) -> Self:
        """The interval of both logs together."""
        whole = copy.copy(self)
        whole.estimator = self.estimator + other.estimator
        return whole

    @abstractmethod
    def _bounds(self, sums: NDArray[np.float64], alpha: float) -> Bounds:
        """From the sums of at least two groups, (4, n_groups)."""


def clusters(estimator: Estimator) -> NDArray[np.float64]:
    """The sums of the groups that have rounds, (4, n_groups)."""
    return estimator.sums[:, estimator.sums[0] > 0.0]


def influences(estimator: Estimator) -> NDArray[np.float64]:
    """How much each group of users moves the estimate, (n_groups,), to first order; their sum is 0.

    Source: the delta method; Deng, Knoblich and Lu (arXiv 1803.06336).
    """
    rounds, direct, weighted, normaliser = estimator.sums
    n, weight = rounds.sum(), normaliser.sum()
    own = (direct - direct.sum() / n * rounds) / n
    return np.asarray(own + (weighted - weighted.sum() / weight * normaliser) / weight)


def standard_error(estimator: Estimator) -> float:
    """Of the estimate, clustered by group of users, of which at least two have rounds.

    sqrt(g / (g - 1) sum of squares of the influences of g groups); where each round is its own group, that of IPS and
    DR is sd / sqrt(n). Source: Liang and Zeger (1986).
    """
    own, groups = influences(estimator), clusters(estimator).shape[1]
    return math.sqrt(groups / (groups - 1) * float(own @ own))


def checked(alpha: float) -> bool:
    """True; raises ValueError unless alpha is in (0, 1)."""
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must be between 0 and 1, not {alpha}")
    return True
