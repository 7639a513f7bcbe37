"""A test that a share of events is at most so large, valid at every time at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

ERRORS = (2.0, 98.0)
"""The prior for error rates about 1 %."""
SLOW = (4.0, 46.0)
"""The prior for shares about 5 %: the 95th percentile exceeds a limit where more than 5 % of the values do."""


def log_e(
    k: ArrayLike, n: ArrayLike, *, at_most: float, prior: tuple[float, float]
) -> NDArray[np.float64]:
    """ln of the e-value against "each event counts with probability `at_most` or less", k of n having counted.

    The likelihood ratio under a share ~ Beta(prior), cut to above p0 = at_most:
    ln B(a + k, b + n - k) + ln S(p0; a + k, b + n - k) - ln B(a, b) - ln S(p0; a, b) - k ln p0 - (n - k) ln(1 - p0),
    with S the upper tail. Exact in finite samples, and the share may move as it likes below `at_most`. Where k / n lies
    so far below it that S underflows, this is minus infinity: no evidence, and never the opposite.

    Events count one by one: of an outage that fails many at once count the minutes or the users.

    Args:
        k: any shape; events that counted, from 0 to n.
        n: the same shape; events.
        at_most: in (0, 1).
        prior: a and b, above 0; a / (a + b) somewhat above `at_most`.

    Raises:
        ValueError: for numbers outside these ranges.

    Source: mixture of likelihood ratios, Robbins and Siegmund, "The expected sample size of some tests of power one",
    Annals of Statistics 2 (1974); Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic
    confidence sequences", Annals of Statistics 49 (2021), on one-sided beta-binomial mixtures.
    """
    counted, total = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    if not ((counted >= 0.0) & (counted <= total) & np.isfinite(total)).all():
        raise ValueError(f"k must be from 0 to n; got {counted} of {total}")
    if not (0.0 < at_most < 1.0 and min(prior) > 0.0):
        raise ValueError(f"at_most must be in (0, 1) and the prior above 0: {at_most}, {prior}")
    (a, b), others = prior, total - counted
    ratio = _log_tail(a + counted, b + others, at_most) - _log_tail(a, b, at_most)
    null = counted * np.log(at_most) + others * np.log1p(-at_most)
    return np.asarray(ratio - null, dtype=np.float64)


def _log_tail(a: ArrayLike, b: ArrayLike, above: float) -> NDArray[np.float64]:
    """ln of the integral of p^(a - 1) (1 - p)^(b - 1) from `above` to 1."""
    with np.errstate(divide="ignore"):
        tail = np.log(special.betaincc(a, b, above))
    return np.asarray(special.betaln(a, b) + tail, dtype=np.float64)
