"""The estimate -+ its user-clustered standard error times a quantile of Student's t."""

import numpy as np
from numpy.typing import NDArray

from replay.estimators import base as estimators
from replay.intervals import base


class Interval(base.Interval):
    """Holds for one look at the end, with hundreds of users or more, and weights of which none dominates."""

    def _bounds(self, sums: NDArray[np.float64], alpha: float) -> base.Bounds:
        from scipy.special import stdtrit

        middle = float(estimators.estimate(sums.sum(axis=1)))
        half = base.standard_error(sums) * float(stdtrit(sums.shape[1] - 1, 1.0 - alpha / 2.0))
        return base.Bounds(middle - half, middle + half)
