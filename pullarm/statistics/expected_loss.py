"""How much a choice is expected to cost if it is the wrong one. A risk to show, and no test: it never bounds errors."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pullarm.statistics.best_arm import expected_maximum

_STANDARD = NormalDist()


def of_shipping(mean: float, deviation: float) -> float:
    """E[max(-effect, 0)] for an effect ~ N(mean, deviation^2): what shipping is expected to lose.

    deviation phi(mean / deviation) - mean Phi(-mean / deviation), in the effect's unit. What keeping the baseline is
    expected to forgo is `of_shipping(-mean, deviation)`. Source: Stucchio, "Bayesian A/B Testing at VWO" (2015).

    Raises:
        ValueError: unless deviation > 0.
    """
    if not deviation > 0.0:
        raise ValueError(f"deviation must be above 0, not {deviation}")
    z = mean / deviation
    return max(deviation * _STANDARD.pdf(z) - mean * _STANDARD.cdf(-z), 0.0)


def of_arms(alpha: ArrayLike, beta: ArrayLike) -> NDArray[np.float64]:
    """E[max_j theta_j] - E[theta_i] for independent theta_j ~ Beta(alpha_j, beta_j): what choosing arm i loses.

    (n_arms,), absolute error about 1e-9; arguments and errors as for `best_arm.probability_best`.
    """
    highest = expected_maximum(alpha, beta)
    a, b = np.asarray(alpha, dtype=np.float64), np.asarray(beta, dtype=np.float64)
    return np.asarray(np.maximum(highest - a / (a + b), 0.0), dtype=np.float64)
