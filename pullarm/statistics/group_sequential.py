"""Bounds for a few looks at growing data that together spend no more than alpha."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

_END = 8.0  # standard errors; beyond lies 6e-16
_LOWEST = 0.1 - _END  # below such a limit nothing is left that has not passed
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
# A panel's width, in standard errors of z and in deviations of a step between looks.
_WIDEST, _STEPS = 2.0, 4.0
_LEAST_GROWTH = 1e-3
_HALVINGS = 50


def obrien_fleming(t: ArrayLike, alpha: float) -> NDArray[np.float64]:
    """How much of a one-sided alpha is spent by time t: 2 (1 - Phi(z_{alpha / 2} / sqrt t)).

    Args:
        t: (n_looks,) elapsed share of the planned time, 0 or more; calendar time will do, since the bounds hold for
            any spending that does not depend on what was observed.
        alpha: in (0, 1).

    Returns:
        (n_looks,) cumulative: 0 at t = 0, alpha from t = 1 on.

    Raises:
        ValueError: for numbers outside these ranges.

    Source: Lan and DeMets, "Discrete Sequential Boundaries for Clinical Trials", Biometrika 70 (1983), section 2.
    """
    elapsed = np.minimum(np.asarray(t, dtype=np.float64), 1.0)
    if not (elapsed >= 0.0).all():
        raise ValueError(f"t must be 0 or more, not {elapsed}")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must be between 0 and 1, not {alpha}")
    with np.errstate(divide="ignore"):
        spent = 2.0 * special.ndtr(special.ndtri(alpha / 2.0) / np.sqrt(elapsed))
    return np.asarray(spent, dtype=np.float64)


def bounds(information: ArrayLike, spent: ArrayLike) -> NDArray[np.float64]:
    """One-sided z bounds: under no effect, look k is the first to pass with probability spent[k] - spent[k - 1].

    By recursion over the density of a z that has not passed, where looks j < k correlate by sqrt(I_j / I_k); absolute
    error about 1e-12, in some milliseconds. Bound k depends on the looks up to k only: one that was missed is left
    out, one that is repeated has the same bound. Information that grew by less than 0.1 %, or fell, counts as grown by
    0.1 %.

    Args:
        information: (n_looks,) 1 / error^2 of the effect at each look in order of time, above 0.
        spent: (n_looks,) cumulative one-sided alpha, in [0, 1) and not falling.

    Returns:
        (n_looks,); infinite where nothing is spent.

    Raises:
        ValueError: for numbers outside these ranges, or shapes that differ.

    Source: Armitage, McPherson and Rowe, "Repeated Significance Tests on Accumulating Data", JRSS A 132 (1969);
    Jennison and Turnbull, "Group Sequential Methods" (2000), chapters 7 and 19.
    """
    gained, total = _checked(information, spent)
    path = _Path(gained)
    found = np.empty_like(total)
    for look, increment in enumerate(np.diff(total, prepend=0.0)):
        found[look] = _bound(*path.now(look), increment, total[look])
        path.go_on(look, found[look])
    return found


def passing(information: ArrayLike, limits: ArrayLike) -> NDArray[np.float64]:
    """How likely each look is the first whose z passes its limit, under no effect; absolute error about 1e-12.

    An effect of d standard errors at information I moves z by d sqrt(I_k / I): take that off the limits.

    Args:
        information: (n_looks,) as of bounds.
        limits: (n_looks,) of z; infinite where nothing passes.

    Returns:
        (n_looks,) in [0, 1], together at most 1.

    Raises:
        ValueError: for numbers outside these ranges, or shapes that differ.
    """
    passed = np.asarray(limits, dtype=np.float64)
    if np.isnan(passed).any():
        raise ValueError(f"limits must be numbers, not {passed}")
    gained, _ = _checked(information, np.zeros_like(passed))
    path = _Path(gained)
    found = np.empty_like(passed)
    for look, limit in enumerate(passed):
        centres, deviation, mass = path.now(look)
        found[look] = mass @ special.ndtr((centres - limit) / deviation)
        path.go_on(look, limit)
    return found


class _Path:
    """The density of a z that has not passed, from look to look."""

    def __init__(self, gained: NDArray[np.float64]) -> None:
        self._kept = np.append(0.0, gained[:-1] / gained[1:])
        # Of the step to each look, in its own standard errors; after the last there is none.
        self._deviations = np.append(np.sqrt(1.0 - self._kept), 1.0)
        self._at, self._mass = np.zeros(1), np.ones(1)

    def now(self, look: int) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
        """The normals that z is a mixture of: their centres, deviation and weights."""
        return math.sqrt(self._kept[look]) * self._at, self._deviations[look], self._mass

    def go_on(self, look: int, limit: float) -> None:
        """Leave out what passes the limit."""
        centres, deviation, mass = self.now(look)
        at, weights = _panels(
            max(limit, _LOWEST), _STEPS * min(deviation, self._deviations[look + 1])
        )
        squares = ((at[:, None] - centres) / deviation) ** 2
        density = np.exp(-0.5 * squares) @ mass / (deviation * math.sqrt(2.0 * math.pi))
        self._at, self._mass = at, weights * density


def _checked(
    information: ArrayLike, spent: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    gained = np.array(information, dtype=np.float64)
    total = np.asarray(spent, dtype=np.float64)
    if gained.ndim != 1 or gained.shape != total.shape or len(gained) == 0:
        raise ValueError(
            f"information and spent need one number a look: {gained.shape}, {total.shape}"
        )
    if not (np.isfinite(gained).all() and (gained > 0.0).all()):
        raise ValueError(f"information must be finite and above 0, not {gained}")
    if not ((np.diff(total, prepend=0.0) >= 0.0).all() and total[-1] < 1.0):
        raise ValueError(f"spent must not fall and lie in [0, 1), not {total}")
    for look in range(1, len(gained)):
        gained[look] = max(gained[look], gained[look - 1] * (1.0 + _LEAST_GROWTH))
    return gained, total


def _bound(
    centres: NDArray[np.float64],
    deviation: float,
    mass: NDArray[np.float64],
    increment: float,
    total: float,
) -> float:
    """Where a normal about `centres`, weighted by `mass`, has probability `increment` above, by bisection."""
    if increment == 0.0:
        return math.inf
    # Who passes now is at most who is above now, and who is above now passes now or passed before.
    low, high = -float(special.ndtri(total)), -float(special.ndtri(increment))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        if mass @ special.ndtr((centres - middle) / deviation) > increment:
            low = middle
        else:
            high = middle
    return high


def _panels(bound: float, width: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gauss-Legendre nodes and weights from far below up to a bound."""
    top = min(bound, _END)
    count = math.ceil((top + _END) / min(width, _WIDEST))
    edges = np.linspace(-_END, top, count + 1)
    half = (edges[1] - edges[0]) / 2.0
    middles = (edges[1:] + edges[:-1]) / 2.0
    return (middles[:, None] + half * _NODES).ravel(), np.tile(half * _WEIGHTS, count)
