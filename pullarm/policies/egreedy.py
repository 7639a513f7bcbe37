"""Epsilon-greedy: mostly the highest posterior mean, otherwise anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pullarm.domain.assignment import MICRO
from pullarm.domain.experiment import POLICY_NUMBERS
from pullarm.policies.base import Drawn, Offer, Prepared
from pullarm.policies.compile import background_kernel, request_kernel
from pullarm.policies.exact import share_of_highest
from pullarm.policies.grid import Grid
from pullarm.policies.posterior import Posterior
from pullarm.policies.slate import (
    RECOMPUTED_SLOTS,
    arranged,
    cumulated,
    draw_from,
    fill_slot,
    first_of,
    renormalise,
    without,
)

Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]
Words = NDArray[np.uint64]


@request_kernel
def _shares(means: Words, rows: Integers, epsilon: float) -> Doubles:
    weights = share_of_highest(means[0], means[1], rows)
    for i in range(len(rows)):
        weights[i] = (1.0 - epsilon) * weights[i] + epsilon / len(rows)
    return weights


@request_kernel
def _slate(
    means: Words, candidates: Integers, epsilon: float, slots: int, key_0: int, key_1: int
) -> Integers:
    rows = arranged(candidates, means.shape[1])
    slate = np.empty((min(slots, len(rows)), 3), dtype=np.int64)
    weights = np.empty(0)
    for slot in range(len(slate)):
        if slot < RECOMPUTED_SLOTS:
            weights = _shares(means, rows, epsilon)
        else:
            renormalise(weights)
        index = fill_slot(slate, slot, rows, weights, 0.0, key_0, key_1)
        rows, weights = without(rows, index), without(weights, index)
    return slate


@request_kernel
def _draw(means: Words, candidates: Integers, epsilon: float, key_0: int, key_1: int) -> Drawn:
    return first_of(_slate(means, candidates, epsilon, 1, key_0, key_1))


@request_kernel
def _draw_each(
    means: Words, epsilon: float, candidates: Integers, ends: Integers, keys: Integers
) -> Integers:
    drawn = np.empty((len(ends), 3), dtype=np.int64)
    start = 0
    for i in range(len(ends)):
        drawn[i] = first_of(
            _slate(means, candidates[start : ends[i]], epsilon, 1, keys[i, 0], keys[i, 1])
        )
        start = ends[i]
    return drawn


@background_kernel
def _ends(means: Words, offered: Integers, epsilon: float) -> Words:
    return cumulated(_shares(means, offered, epsilon), offered, means.shape[1], 0.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedEgreedy:
    """Posterior means as fractions of whole millionths."""

    means: Words  # (2, n_arms) prior alpha + rewards; prior alpha + prior beta + serves
    offered: Integers
    epsilon: float
    ends: Words  # (n_arms,) cumulated integer weights of the rows offered
    floor: ClassVar[float] = 0.0
    recomputed_slots: ClassVar[int] = RECOMPUTED_SLOTS

    @property
    def n_arms(self) -> int:
        """The number of arm rows."""
        return self.means.shape[1]

    def weights(self, offer: Offer) -> Doubles:
        """epsilon / k each, and 1 - epsilon shared equally by the arms tied for the best mean."""
        return _shares(self.means, offer.rows, self.epsilon)

    def draw(self, candidates: Integers, key_0: int, key_1: int) -> Drawn:
        """Fill the first slot."""
        if len(candidates) == 0:
            return draw_from(self.ends, key_0, key_1)
        return _draw(self.means, candidates, self.epsilon, key_0, key_1)

    def draw_each(self, candidates: Integers, ends: Integers, keys: Integers) -> Integers:
        """Fill the first slot of each."""
        return _draw_each(self.means, self.epsilon, candidates, ends, keys)

    def slate(self, candidates: Integers, slots: int, key_0: int, key_1: int) -> list[list[int]]:
        """Fill up to `slots` slots."""
        rows = candidates if len(candidates) > 0 else self.offered
        return _slate(self.means, rows, self.epsilon, slots, key_0, key_1).tolist()


@dataclass(frozen=True, slots=True, kw_only=True)
class Egreedy:
    """(1 - epsilon) on the highest posterior mean, epsilon spread equally over all candidates.

    Means are compared exactly, as fractions of integers (128-bit cross products), so that two
    arms tie exactly if their means are equal: 1 of 3 and 2 of 6 share.
    """

    name: ClassVar[str] = "egreedy"
    number: ClassVar[int] = POLICY_NUMBERS["egreedy"]
    floor: ClassVar[float] = 0.0  # epsilon is its exploration

    prior_alpha: float = 1.0
    prior_beta: float = 1.0
    epsilon: float = 0.1

    def plan_grid(self, posterior: Posterior, previous: Grid | None) -> Grid | None:
        """None: epsilon-greedy needs no grid."""
        del posterior, previous
        return None

    def prepare(
        self,
        posterior: Posterior,
        *,
        grid: Grid | None,
        previous: Prepared | None = None,
        offered: Integers | None = None,
    ) -> PreparedEgreedy:
        """Add the prior, in millionths."""
        del grid, previous
        alpha = round(self.prior_alpha * MICRO)
        both = alpha + round(self.prior_beta * MICRO)
        sums = np.stack((posterior.rewards_micro + alpha, posterior.serves_micro + both))
        means, epsilon = sums.astype(np.uint64), float(self.epsilon)
        rows = posterior.rows if offered is None else offered
        ends = _ends(means, rows, epsilon)
        return PreparedEgreedy(means=means, offered=rows, epsilon=epsilon, ends=ends)
