"""How unequal a rate is between cohorts, beyond what noise makes of equal ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

LEAST_IMPRESSIONS = 2_000
"""A cohort with fewer is not shown: five equal ones of 500 have a coefficient of variation of 0.2 by noise alone."""


@dataclass(frozen=True, slots=True)
class Variation:
    """What cohorts' rates vary by."""

    naive: float
    """Coefficient of variation as observed: sd / mean. It is above 0 even where all are equal."""
    corrected: float
    """The same without the noise: sqrt(max(0, sd^2 - mean error^2)) / mean."""
    q: float
    """Cochran's Q: sum of (rate - weighted mean)^2 / error^2."""
    p: float
    """P(at least q) were all equal, by chi-square with n_cohorts - 1 degrees of freedom."""


def variation(rates: ArrayLike, errors: ArrayLike) -> Variation:
    """The variation of rates about their mean.

    Args:
        rates: (n_cohorts,) at least two, with a mean above 0.
        errors: (n_cohorts,) their standard errors, above 0, clustered by user.

    Raises:
        ValueError: for numbers outside these ranges or shapes that differ.

    Source: Cochran, "The Combination of Estimates from Different Experiments", Biometrics 10 (1954); the correction is
    the method of moments for a variance between groups.
    """
    rate, error = np.asarray(rates, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    if rate.ndim != 1 or rate.shape != error.shape or len(rate) < 2:
        raise ValueError(
            f"rates and errors need a number for each cohort: {rate.shape}, {error.shape}"
        )
    mean, square = float(rate.mean()), float(rate.var(ddof=1))
    if not (mean > 0.0 and (error > 0.0).all()):
        raise ValueError(f"the mean rate and the errors must be above 0, not {rate}, {error}")
    q = float(((rate - np.average(rate, weights=error**-2)) ** 2 / error**2).sum())
    return Variation(
        naive=square**0.5 / mean,
        corrected=max(0.0, square - float((error**2).mean())) ** 0.5 / mean,
        q=q,
        p=float(special.chdtrc(len(rate) - 1, q)),
    )
