"""How much traffic a comparison of policies takes, where it is looked at several times."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from pullarm.statistics.group_sequential import bounds, obrien_fleming, passing

_HALVINGS = 50
_LARGEST = 20.0  # standard errors


def drift(t: ArrayLike, alpha: float, power: float) -> float:
    """The effect, in standard errors at the last look, that passes a bound at some look with this probability.

    With one look it is z_{1 - alpha} + z_{power}; each further one costs some per cent.

    Args:
        t: (n_looks,) elapsed shares of the planned time, ascending in (0, 1]; traffic is taken as steady, so that
            information goes with time, and alpha is spent as O'Brien and Fleming would.
        alpha: one-sided, in (0, 1).
        power: in (alpha, 1).

    Raises:
        ValueError: for numbers outside these ranges.

    Source: Jennison and Turnbull, "Group Sequential Methods" (2000), section 7.2.
    """
    if not alpha < power < 1.0:
        raise ValueError(f"power must be between alpha, {alpha}, and 1, not {power}")
    shares = np.asarray(t, dtype=np.float64)
    limits = bounds(shares, obrien_fleming(shares, alpha))
    towards = np.sqrt(shares / shares[-1])
    low, high = 0.0, _LARGEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        if passing(shares, limits - middle * towards).sum() < power:
            low = middle
        else:
            high = middle
    return high


def impressions(
    rate: float, lift: float, *, shares: tuple[float, float], drift: float, design_effect: float
) -> float:
    """Of all policies together, so that this lift of one over the control comes to `drift` standard errors.

    The standard error is that of the log lift by the delta method, for rewards of 0 or 1 (others vary less).

    Args:
        rate: the control's reward per impression, in (0, 1).
        lift: wanted, above 0; 0.03 is +3 %. rate (1 + lift) must be below 1.
        shares: of the impressions, the policy's and the control's; each above 0.
        drift: from the function of this name.
        design_effect: how many times the variance is that of independent impressions: several are of one user.

    Raises:
        ValueError: for numbers outside these ranges.
    """
    lifted = rate * (1.0 + lift)
    if not (rate > 0.0 and lift > 0.0 and lifted < 1.0):
        raise ValueError(f"rate {rate} and lift {lift} must be above 0, and lead to less than 1")
    if not (min(shares) > 0.0 and design_effect > 0.0):
        raise ValueError(f"shares {shares} and design_effect {design_effect} must be above 0")
    odds = (1.0 - lifted) / (lifted * shares[0]) + (1.0 - rate) / (rate * shares[1])
    return design_effect * odds * (drift / math.log1p(lift)) ** 2
