"""UCB1: optimism in the face of uncertainty (Auer, Cesa-Bianchi, Fischer 2002, section 2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pullarm.domain.assignment import MICRO
from pullarm.domain.experiment import POLICY_NUMBERS
from pullarm.policies.base import Drawn, Offer, Prepared
from pullarm.policies.compile import background_kernel, request_kernel
from pullarm.policies.elementary import log
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
def _shares(sums: Integers, rows: Integers, exploration: float) -> Doubles:
    serves, rewards = sums
    k = len(rows)
    total = 0.0
    for row in rows:
        total += serves[row]
    # Below one serve in all (only discounting gets there) the logarithm would be negative.
    spread = exploration * log(max(total / MICRO, 1.0)) * MICRO
    index = np.empty(k)
    best, leaders = -1.0, 0
    for i in range(k):
        n = serves[rows[i]]
        # Never served comes before everything, whatever the other indices are.
        index[i] = np.inf if n == 0 else rewards[rows[i]] / n + math.sqrt(spread / n)
        if index[i] > best:
            best, leaders = index[i], 0
        leaders += index[i] == best
    for i in range(k):
        index[i] = 1.0 / leaders if index[i] == best else 0.0
    return index


@request_kernel
def _slate(
    sums: Integers,
    candidates: Integers,
    exploration: float,
    floor: float,
    slots: int,
    key_0: int,
    key_1: int,
) -> Integers:
    rows = arranged(candidates, sums.shape[1])
    slate = np.empty((min(slots, len(rows)), 3), dtype=np.int64)
    weights = np.empty(0)
    for slot in range(len(slate)):
        if slot < RECOMPUTED_SLOTS:
            weights = _shares(sums, rows, exploration)
        else:
            renormalise(weights)
        index = fill_slot(slate, slot, rows, weights, floor, key_0, key_1)
        rows, weights = without(rows, index), without(weights, index)
    return slate


@request_kernel
def _draw(
    sums: Integers, candidates: Integers, exploration: float, floor: float, key_0: int, key_1: int
) -> Drawn:
    return first_of(_slate(sums, candidates, exploration, floor, 1, key_0, key_1))


@request_kernel
def _draw_each(
    sums: Integers,
    exploration: float,
    floor: float,
    candidates: Integers,
    ends: Integers,
    keys: Integers,
) -> Integers:
    drawn = np.empty((len(ends), 3), dtype=np.int64)
    start = 0
    for i in range(len(ends)):
        drawn[i] = first_of(
            _slate(sums, candidates[start : ends[i]], exploration, floor, 1, keys[i, 0], keys[i, 1])
        )
        start = ends[i]
    return drawn


@background_kernel
def _ends(sums: Integers, offered: Integers, exploration: float, floor: float) -> Words:
    return cumulated(_shares(sums, offered, exploration), offered, sums.shape[1], floor)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedUcb:
    """The sums as they were folded."""

    sums: Integers  # (2, n_arms) serves and rewards, millionths
    offered: Integers
    exploration: float
    floor: float
    ends: Words  # (n_arms,) cumulated integer weights of the rows offered
    recomputed_slots: ClassVar[int] = RECOMPUTED_SLOTS

    @property
    def n_arms(self) -> int:
        """The number of arm rows."""
        return self.sums.shape[1]

    def weights(self, offer: Offer) -> Doubles:
        """1 shared equally by the arms with the highest index; never-served arms come first."""
        return _shares(self.sums, offer.rows, self.exploration)

    def draw(self, candidates: Integers, key_0: int, key_1: int) -> Drawn:
        """Fill the first slot."""
        if len(candidates) == 0:
            return draw_from(self.ends, key_0, key_1)
        return _draw(self.sums, candidates, self.exploration, self.floor, key_0, key_1)

    def draw_each(self, candidates: Integers, ends: Integers, keys: Integers) -> Integers:
        """Fill the first slot of each."""
        return _draw_each(self.sums, self.exploration, self.floor, candidates, ends, keys)

    def slate(self, candidates: Integers, slots: int, key_0: int, key_1: int) -> list[list[int]]:
        """Fill up to `slots` slots."""
        rows = candidates if len(candidates) > 0 else self.offered
        return _slate(self.sums, rows, self.exploration, self.floor, slots, key_0, key_1).tolist()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ucb:
    """mean + sqrt(c ln N / n), with N the serves of the candidates in the offer.

    Arms never served come first and share equally. Indices are doubles: arms share where
    theirs are equal to the last bit, which equal sums always give and unequal ones hardly ever.
    """

    name: ClassVar[str] = "ucb"
    number: ClassVar[int] = POLICY_NUMBERS["ucb"]

    exploration: float = 2.0
    floor: float = 0.05

    def plan_grid(self, posterior: Posterior, previous: Grid | None) -> Grid | None:
        """None: UCB1 needs no grid."""
        del posterior, previous
        return None

    def prepare(
        self,
        posterior: Posterior,
        *,
        grid: Grid | None,
        previous: Prepared | None = None,
        offered: Integers | None = None,
    ) -> PreparedUcb:
        """Keep the sums."""
        del grid, previous
        sums = np.stack((posterior.serves_micro, posterior.rewards_micro))
        exploration, floor = float(self.exploration), float(self.floor)
        rows = posterior.rows if offered is None else offered
        ends = _ends(sums, rows, exploration, floor)
        return PreparedUcb(sums=sums, offered=rows, exploration=exploration, floor=floor, ends=ends)
