"""Epsilon-greedy: mostly the highest posterior mean, otherwise anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pullarm.policies.base import Offer, Prepared
from pullarm.policies.compile import kernel
from pullarm.policies.grid import Grid
from pullarm.policies.posterior import MICRO, Posterior

_LOW_HALF = np.uint64(0xFFFFFFFF)
_HALF_BITS = np.uint64(32)


@kernel
def _product(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """The 128-bit product as (high, low)."""
    a_low, a_high = a & _LOW_HALF, a >> _HALF_BITS
    b_low, b_high = b & _LOW_HALF, b >> _HALF_BITS
    low = a_low * b_low
    cross = a_high * b_low + (low >> _HALF_BITS)
    other = a_low * b_high + (cross & _LOW_HALF)
    high = a_high * b_high + (cross >> _HALF_BITS) + (other >> _HALF_BITS)
    return high, (other << _HALF_BITS) | (low & _LOW_HALF)


@kernel
def _greedy(
    gains: NDArray[np.uint64], trials: NDArray[np.uint64], rows: NDArray[np.int64], epsilon: float
) -> NDArray[np.float64]:
    k = len(rows)
    weights = np.full(k, epsilon / k)
    tied = np.empty(k, dtype=np.int64)
    n_tied = 0
    for i in range(k):
        order = 1
        if n_tied > 0:
            best = rows[tied[0]]
            mine = _product(gains[rows[i]], trials[best])
            theirs = _product(gains[best], trials[rows[i]])
            order = int(mine > theirs) - int(mine < theirs)
        if order > 0:
            n_tied = 0
        if order >= 0:
            tied[n_tied] = i
            n_tied += 1
    for t in range(n_tied):
        weights[tied[t]] += (1.0 - epsilon) / n_tied
    return weights


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedEgreedy:
    """Posterior means as fractions of whole millionths."""

    gains: NDArray[np.uint64]  # (n_arms,) prior alpha + rewards
    trials: NDArray[np.uint64]  # (n_arms,) prior alpha + prior beta + serves
    epsilon: float
    recomputed_slots: ClassVar[int] = 10

    @property
    def n_arms(self) -> int:
        """The number of arm rows."""
        return len(self.gains)

    def weights(self, offer: Offer) -> NDArray[np.float64]:
        """epsilon / k each, and 1 - epsilon shared equally by the arms tied for the best mean."""
        return _greedy(self.gains, self.trials, offer.rows, self.epsilon)


@dataclass(frozen=True, slots=True, kw_only=True)
class Egreedy:
    """(1 - epsilon) on the highest posterior mean, epsilon spread equally over all candidates.

    Means are compared exactly, as fractions of integers (128-bit cross products), so that two
    arms tie exactly if their means are equal: 1 of 3 and 2 of 6 share.
    """

    name: ClassVar[str] = "egreedy"
    number: ClassVar[int] = 3
    floor: ClassVar[float] = 0.0  # epsilon is its exploration

    prior_alpha: float = 1.0
    prior_beta: float = 1.0
    epsilon: float = 0.1

    def plan_grid(self, posterior: Posterior, previous: Grid | None) -> Grid | None:
        """None: epsilon-greedy needs no grid."""
        del posterior, previous
        return None

    def prepare(
        self, posterior: Posterior, *, grid: Grid | None, previous: Prepared | None = None
    ) -> PreparedEgreedy:
        """Add the prior, in millionths."""
        del grid, previous
        alpha = round(self.prior_alpha * MICRO)
        both = alpha + round(self.prior_beta * MICRO)
        return PreparedEgreedy(
            gains=(posterior.rewards_micro + alpha).astype(np.uint64),
            trials=(posterior.serves_micro + both).astype(np.uint64),
            epsilon=self.epsilon,
        )
