"""Is a share of events above its limit? Errors, slow answers, refused rewards: by the hour and by the day."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pullarm.statistics import bernoulli
from pullarm.statistics.e_values import log_mean, threshold
from pullarm.statistics.guardrails.readings import DAY_S, HOUR_S, PERIOD_S
from pullarm.statistics.restarts import Schedule

HOURLY_AND_DAILY = Schedule(PERIOD_S, (HOUR_S, DAY_S))
ALPHA = 0.05
"""For each policy and share, in one period."""
NEEDED = threshold(ALPHA)
"""The log_e that refutes "the limit is kept"."""


def log_e(
    k: ArrayLike,
    worst: ArrayLike,
    n: ArrayLike,
    age_s: float,
    *,
    at_most: float,
    prior: tuple[float, float],
) -> NDArray[np.float64]:
    """ln of the e-value against "each event counts with probability `at_most` or less", of tests that begin each hour
    and each day.

    The worst minute since each start is left out of what counted, though not of the events: one outage of a minute is
    not a share that has risen. That makes e-values smaller only, so alpha stands.

    Args:
        k: (..., n_hours) events that counted, in each hour of the current period of 14 days, the last one incomplete.
        worst: (..., n_hours) of them in the worst minute of each hour.
        n: (..., n_hours) events.
        age_s: seconds since the first period began; the hours are those that have begun at it.
        at_most: in (0, 1).
        prior: of `bernoulli.log_e`.

    Returns:
        (...,).

    Raises:
        ValueError: for other shapes, or numbers outside their ranges.
    """
    starts, shares = HOURLY_AND_DAILY.begun(age_s)
    counted, most, total = (np.asarray(each, dtype=np.float64) for each in (k, worst, n))
    if not counted.shape == most.shape == total.shape or counted.shape[-1] != len(starts):
        raise ValueError(
            f"k, worst and n need {len(starts)} hours each: {counted.shape}, {most.shape}, {total.shape}"
        )
    since = _from_each(np.add, counted) - _from_each(np.maximum, most)
    values = bernoulli.log_e(since, _from_each(np.add, total), at_most=at_most, prior=prior)
    return log_mean(values, shares)


def _from_each(whole: np.ufunc, hours: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each hour and all later ones."""
    return np.asarray(whole.accumulate(hours[..., ::-1], axis=-1)[..., ::-1])
