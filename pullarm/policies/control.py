"""What the caller would do without us: the baseline of every comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from pullarm.domain.experiment import POLICY_NUMBERS
from pullarm.policies.base import Drawn, Offer, Prepared
from pullarm.policies.compile import request_kernel
from pullarm.policies.exact import WEIGHT_ONE, integer_weights, word_below
from pullarm.policies.grid import Grid
from pullarm.policies.posterior import Posterior
from pullarm.policies.slate import arranged, fill_slot, first_of, without

Integers = NDArray[np.int64]


@request_kernel
def _in_order(candidates: Integers, n_arms: int, slots: int) -> Integers:
    slate = np.full((min(slots, len(arranged(candidates, n_arms))), 3), WEIGHT_ONE)
    taken = np.zeros(n_arms, dtype=np.bool_)
    slot = 0
    for row in candidates:
        if slot < len(slate) and not taken[row]:
            taken[row] = True
            slate[slot, 0] = row
            slot += 1
    return slate


@request_kernel
def _at_random(candidates: Integers, n_arms: int, slots: int, key_0: int, key_1: int) -> Integers:
    rows = arranged(candidates, n_arms)
    slate = np.empty((min(slots, len(rows)), 3), dtype=np.int64)
    for slot in range(len(slate)):
        weights = np.full(len(rows), 1.0 / len(rows))
        index = fill_slot(slate, slot, rows, weights, 0.0, key_0, key_1)
        rows = without(rows, index)
    return slate


@request_kernel
def _draw(candidates: Integers, n_arms: int, in_order: bool, key_0: int, key_1: int) -> Drawn:
    if in_order:
        return first_of(_in_order(candidates, n_arms, 1))
    return first_of(_at_random(candidates, n_arms, 1, key_0, key_1))


@request_kernel
def _draw_each(
    n_arms: int, in_order: bool, candidates: Integers, ends: Integers, keys: Integers
) -> Integers:
    drawn = np.empty((len(ends), 3), dtype=np.int64)
    start = 0
    for i in range(len(ends)):
        drawn[i] = _draw(candidates[start : ends[i]], n_arms, in_order, keys[i, 0], keys[i, 1])
        start = ends[i]
    return drawn


@request_kernel
def _any_of(rows: Integers, key_0: int, key_1: int) -> Drawn:
    weight = integer_weights(np.full(1, 1.0 / len(rows)), 0.0)[0]
    total = weight * np.uint64(len(rows))
    left = word_below(total, np.uint64(key_0), np.uint64(key_1), np.uint64(0))
    return rows[int(left // weight)], int(weight), int(total)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedControl:
    """The caller's own order, or equal weights; it learns nothing."""

    n_arms: int
    offered: Integers
    mode: Literal["caller", "uniform"]
    floor: ClassVar[float] = 0.0
    # Following the caller's order costs nothing, in any slot.
    recomputed_slots: ClassVar[int] = 2**31

    def weights(self, offer: Offer) -> NDArray[np.float64]:
        """1 on the caller's first candidate, or 1 / k each."""
        k = len(offer.rows)
        if self.mode == "uniform":
            return np.full(k, 1.0 / k)
        weights = np.zeros(k)
        weights[offer.order[0]] = 1.0
        return weights

    def draw(self, candidates: Integers, key_0: int, key_1: int) -> Drawn:
        """Fill the first slot."""
        if len(candidates) > 0:
            return _draw(candidates, self.n_arms, self.mode == "caller", key_0, key_1)
        if self.mode == "caller":
            return int(self.offered[0]), WEIGHT_ONE, WEIGHT_ONE
        return _any_of(self.offered, key_0, key_1)

    def draw_each(self, candidates: Integers, ends: Integers, keys: Integers) -> Integers:
        """Fill the first slot of each."""
        return _draw_each(self.n_arms, self.mode == "caller", candidates, ends, keys)

    def slate(self, candidates: Integers, slots: int, key_0: int, key_1: int) -> list[list[int]]:
        """Fill up to `slots` slots."""
        rows = candidates if len(candidates) > 0 else self.offered
        if self.mode == "caller":
            return _in_order(rows, self.n_arms, slots).tolist()
        return _at_random(rows, self.n_arms, slots, key_0, key_1).tolist()


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The caller's candidate order ("caller") or a uniform choice ("uniform").

    It has no floor: in mode "caller" its log is 0/1 and supports no estimate of other policies.
    """

    name: ClassVar[str] = "control"
    number: ClassVar[int] = POLICY_NUMBERS["control"]
    floor: ClassVar[float] = 0.0

    mode: Literal["caller", "uniform"] = "caller"

    def plan_grid(self, posterior: Posterior, previous: Grid | None) -> Grid | None:
        """None: control needs no grid."""
        del posterior, previous
        return None

    def prepare(
        self,
        posterior: Posterior,
        *,
        grid: Grid | None,
        previous: Prepared | None = None,
        offered: Integers | None = None,
    ) -> PreparedControl:
        """Only which arms there are matters."""
        del grid, previous
        rows = posterior.rows if offered is None else offered
        return PreparedControl(n_arms=posterior.n_arms, offered=rows, mode=self.mode)
