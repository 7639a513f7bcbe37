"""Percentiles of the estimate over users drawn with replacement; they follow skewed estimates."""

import numpy as np
from numpy.typing import NDArray

from replay.estimators import base as estimators
from replay.intervals import base

DRAWS = 1_000


class Interval(base.Interval):
    """Draws groups of users, and normalises each draw by its own weights. Source: Efron (1979), percentile method.

    Args:
        draws: samples drawn, >= 1.
        seed: the same seed and log give the same interval.
    """

    def __init__(
        self, estimator: estimators.Estimator, *, draws: int = DRAWS, seed: int = 0
    ) -> None:
        super().__init__(estimator)
        if draws < 1:
            raise ValueError(f"draws must be at least 1, not {draws}")
        self._draws = draws
        self._seed = seed

    def _bounds(self, sums: NDArray[np.float64], alpha: float) -> base.Bounds:
        rng = np.random.default_rng(self._seed)
        groups = sums.shape[1]
        totals = np.empty((len(sums), self._draws))
        for draw in range(self._draws):
            times = np.bincount(rng.integers(groups, size=groups), minlength=groups)
            totals[:, draw] = sums @ times
        drawn = estimators.estimate(totals[:, totals[3] > 0.0])
        lower, upper = np.quantile(drawn, (alpha / 2.0, 1.0 - alpha / 2.0))
        return base.Bounds(float(lower), float(upper))
