"""Tests and intervals that hold at every time at once, for estimates that are about normal."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special


def log_e(effect: ArrayLike, error: ArrayLike, *, tau: float) -> NDArray[np.float64]:
    """ln of the e-value against "there is no effect": its likelihood ratio under an effect ~ N(0, tau^2).

    ln E = z^2 / 2 * tau^2 / (tau^2 + error^2) - ln(1 + tau^2 / error^2) / 2 with z = effect / error, an e-process on
    the clock 1 / error^2: users who go on giving data between looks do no harm. It is asymptotic: start once the
    estimate is about normal.

    Args:
        effect: any shape, such as log lifts.
        error: the same shape; standard errors above 0.
        tau: above 0; the size of the effects that are found soonest.

    Raises:
        ValueError: for errors or a tau not above 0.

    Source: the mixture SPRT of Robbins (1970) and Johari, Pekelis and Walsh (KDD 2017); Waudby-Smith, Arbour, Sinha,
    Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences" (arXiv 2103.06476).
    """
    z, spread = _scaled(effect, error, tau)
    gained = z**2 * spread / (1.0 + spread)
    return np.asarray(0.5 * (gained - np.log1p(spread)), dtype=np.float64)


def log_e_above(effect: ArrayLike, error: ArrayLike, *, tau: float) -> NDArray[np.float64]:
    """ln of the e-value against "the effect is 0 or less", by the half of N(0, tau^2) above 0.

    ln E = ln 2 + log_e + ln Phi(z sqrt(tau^2 / (tau^2 + error^2))). To test for a drop give the negative effect.
    Arguments, errors and source as for `log_e`.
    """
    z, spread = _scaled(effect, error, tau)
    one_sided = math.log(2.0) + special.log_ndtr(z * np.sqrt(spread / (1.0 + spread)))
    return np.asarray(log_e(effect, error, tau=tau) + one_sided, dtype=np.float64)


def radius(error: ArrayLike, *, tau: float, alpha: float) -> NDArray[np.float64]:
    """Half the width of the confidence sequence: effect -+ radius covers at all times, with probability 1 - alpha.

    error sqrt((error^2 + tau^2) / tau^2 (ln(1 + tau^2 / error^2) - 2 ln alpha)): the effects that `log_e` has not
    refuted at alpha.

    Args:
        error: any shape; standard errors above 0.
        tau: as for `log_e`.
        alpha: in (0, 1), two-sided.

    Raises:
        ValueError: for numbers outside these ranges.
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must be between 0 and 1, not {alpha}")
    _, spread = _scaled(0.0, error, tau)
    return np.asarray(np.asarray(error) * reach(spread, alpha=alpha), dtype=np.float64)


def reach(spread: ArrayLike, *, alpha: float) -> NDArray[np.float64]:
    """`radius` in standard errors, by tau^2 / error^2 of any shape, above 0."""
    times = np.asarray(spread)[()]  # a number stays one: many are asked for alone
    found: NDArray[np.float64] = np.sqrt(
        (1.0 + 1.0 / times) * (np.log1p(times) - 2.0 * math.log(alpha))
    )
    return found


def narrowest(error: float, *, alpha: float) -> float:
    """The tau whose confidence sequence at alpha is narrowest at this standard error.

    (-W_{-1}(-alpha^2 / e) - 1) error^2, as a deviation. Source: Waudby-Smith et al., on choosing rho.

    Raises:
        ValueError: unless error > 0 and alpha is in (0, 1).
    """
    if not (error > 0.0 and 0.0 < alpha < 1.0):
        raise ValueError(f"error must be above 0 and alpha between 0 and 1, not {error}, {alpha}")
    return error * math.sqrt(narrowest_spread(alpha))


@cache
def narrowest_spread(alpha: float) -> float:
    """tau^2 / error^2 of the narrowest confidence sequence at alpha, in (0, 1)."""
    return float(-special.lambertw(-(alpha**2) / math.e, -1).real - 1.0)


def _scaled(
    effect: ArrayLike, error: ArrayLike, tau: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """effect / error and tau^2 / error^2."""
    errors = np.asarray(error, dtype=np.float64)
    if not ((errors > 0.0).all() and tau > 0.0):
        raise ValueError(f"errors and tau must be above 0, not {errors}, {tau}")
    return np.asarray(effect) / errors, tau**2 / errors**2
