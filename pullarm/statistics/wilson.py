"""Wilson's score interval for a proportion."""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist


def interval(successes: float, trials: float, *, alpha: float = 0.05) -> tuple[float, float]:
    """The two-sided interval of confidence 1 - alpha for a success rate.

    Args:
        successes: from 0 to `trials`; fractions are welcome (credits in [0, 1]).
        trials: 0 or more; with none the interval is [0, 1].
        alpha: in (0, 1).

    Returns:
        Lower and upper end, in [0, 1]; exactly 0 at no successes, exactly 1 at no failures.

    Raises:
        ValueError: for numbers outside these ranges.

    Source: Wilson (1927); Brown, Cai, DasGupta (2001), section 3.1.1. It takes trials as
    independent: clustered users need the ratio metric's cluster-robust error instead.
    """
    if not 0.0 <= successes <= trials < math.inf:
        raise ValueError(f"successes must be from 0 to trials; got {successes} of {trials}")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must be between 0 and 1, not {alpha}")
    if trials == 0.0:
        return 0.0, 1.0
    square = _square(alpha)
    rate = successes / trials
    centre = (rate + square / (2.0 * trials)) / (1.0 + square / trials)
    variance = rate * (1.0 - rate) / trials + square / (4.0 * trials**2)
    half = math.sqrt(square * variance) / (1.0 + square / trials)
    low = 0.0 if successes == 0.0 else max(centre - half, 0.0)
    high = 1.0 if successes == trials else min(centre + half, 1.0)
    return low, high


@cache  # charts have thousands of intervals of the same confidence
def _square(alpha: float) -> float:
    return NormalDist().inv_cdf(1.0 - alpha / 2.0) ** 2


def clustered(
    rate: float, error: float | None, *, trials: int, clusters: int
) -> tuple[float, float]:
    """The 95 % interval for a rate whose trials come in clusters, by the number of independent ones they are worth.

    Args:
        rate: successes a trial, in [0, 1].
        error: its cluster-robust standard error; None where there are fewer than two clusters.
        trials: 1 or more.
        clusters: 1 or more; what the trials are worth where no variation tells it (no error, or 0).

    Source: Korn and Graubard (1998), with Wilson's interval as Dean and Pagano (2015) recommend. Trials are never taken
    to be worth more than there are.
    """
    worth: float = clusters
    if error:
        worth = min(trials, rate * (1.0 - rate) / error**2)
    return interval(rate * worth, worth)
