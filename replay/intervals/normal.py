"""The estimate -+ its user-clustered standard error times a quantile of Student's t."""

import math

import numpy as np
from numpy.typing import NDArray

from replay.estimators import base as estimators
from replay.intervals import base


class Interval(base.Interval):
    """Holds for one look at the end, with hundreds of users or more, and weights of which none dominates."""

    def _bounds(self, sums: NDArray[np.float64], alpha: float) -> base.Bounds:
        from scipy.special import stdtrit

        middle = float(estimators.estimate(sums.sum(axis=1)))
        half = base.standard_error(self.estimator) * float(
            stdtrit(sums.shape[1] - 1, 1.0 - alpha / 2.0)
        )
        return base.Bounds(middle - half, middle + half)


def difference(
    estimator: estimators.Estimator, other: estimators.Estimator, *, share: float, alpha: float
) -> base.Bounds:
    """An interval for estimate - share * other's estimate, whether they come of the same users or of others.

    Both keep as many groups; `base.UNKNOWN` where either has fewer than two groups of users or no estimate.

    Raises:
        ValueError: unless alpha is in (0, 1).
    """
    from scipy.special import stdtrit

    base.checked(alpha)
    first, second = estimator.get(), other.get()
    groups = min(base.clusters(each).shape[1] for each in (estimator, other))
    if first is None or second is None or groups < 2:
        return base.UNKNOWN
    influence = base.influences(estimator) - share * base.influences(other)
    error = math.sqrt(groups / (groups - 1) * float(influence @ influence))
    half = error * float(stdtrit(groups - 1, 1.0 - alpha / 2.0))
    middle = first - share * second
    return base.Bounds(middle - half, middle + half)
