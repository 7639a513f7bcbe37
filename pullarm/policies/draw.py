"""The draw and the slate: what is logged is what was drawn from.

Candidate i is shown with probability exactly q_i / T for integers q and T = sum q, so logged
propensities carry no rounding of ours, whatever approximated the weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pullarm.policies import exact
from pullarm.policies.base import Offer, Policy, Prepared

# The number of the arithmetic, logged with every decision. Whatever could change one bit of
# the weights or the draw, here or in a file it calls, must increment it.
KERNEL = 1

UID_BYTES = 16
WEIGHT_ONE = exact.WEIGHT_ONE  # what a weight of 1 becomes


def integer_weights(weights: NDArray[np.float64], floor: float) -> NDArray[np.uint64]:
    """Weights (k,) summing to 1, mixed with the floor in [0, 1], as integers (k,).

    q_i = max(1, rint(w'_i 2^32)) with w' = (1 - floor) w + floor / k, and 0 where w'_i is 0.
    """
    return exact.integer_weights(weights, floor)


def draw(integers: NDArray[np.uint64], uid: bytes, slot: int) -> int:
    """The index drawn for decision `uid` (16 bytes) in `slot`: i with probability q_i / sum q.

    The same arguments always give the same index: Philox4x64-10 keyed by the uid.

    Raises:
        ValueError: for a uid of another length, or if all integers are 0.
    """
    if not integers.any():
        raise ValueError("all integer weights are 0; there is nothing to draw from")
    return int(exact.draw_index(integers, *_keys(uid), np.uint64(slot))[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The arm drawn for one slot, and the integers its propensity is made of."""

    row: int  # arm row
    weight: int  # q of the arm drawn, >= 1
    total: int  # T, the sum of q over the candidates of this slot

    @property
    def propensity(self) -> float:
        """The probability with which this arm was drawn in this slot."""
        return self.weight / self.total


def choose(
    policy: Policy,
    prepared: Prepared,
    candidates: Sequence[int] | NDArray[np.int64],
    *,
    slots: int,
    uid: bytes,
) -> list[Choice]:
    """Fill up to `slots` slots from `candidates`, the one way that serving and replay share.

    Args:
        policy: the configured policy; its floor applies in each slot.
        prepared: what `policy.prepare` made of a posterior.
        candidates: arm rows in the caller's order; duplicates count once. Only control looks
            at the order.
        slots: at least 1; the slate ends early when the candidates do.
        uid: the decision's 16 bytes, which key the generator.

    Returns:
        One choice a slot, of distinct arms. Each slot's weights are the policy's over the
        candidates left; past `prepared.recomputed_slots` they are the last ones computed,
        renormalised over those left (uniform when nothing of them is left).

    Raises:
        ValueError: for no candidates, a row outside [0, prepared.n_arms), slots < 1 or a uid
            that is not 16 bytes.
    """
    if len(candidates) == 0:
        raise ValueError("candidates is empty; give at least one arm row")
    if slots < 1:
        raise ValueError(f"slots must be at least 1, not {slots}")
    offer = Offer.of(candidates)
    if offer.rows[0] < 0 or offer.rows[-1] >= prepared.n_arms:
        raise ValueError(f"candidates must be arm rows from 0 to {prepared.n_arms - 1}")
    keys = _keys(uid)
    weights = prepared.weights(offer)
    choices: list[Choice] = []
    while True:
        integers = exact.integer_weights(weights, policy.floor)
        index, total = exact.draw_index(integers, *keys, np.uint64(len(choices)))
        row, weight = int(offer.rows[index]), int(integers[index])
        choices.append(Choice(row=row, weight=weight, total=int(total)))
        if len(choices) == slots or len(offer.rows) == 1:
            return choices
        offer = offer.without(index)
        if len(choices) < prepared.recomputed_slots:
            weights = prepared.weights(offer)
        else:
            weights = _renormalised(np.delete(weights, index))


def _renormalised(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    total = math.fsum(weights)  # the same on every machine, which numpy does not promise
    if total > 0.0:
        return np.asarray(weights / total, dtype=np.float64)
    return np.full(len(weights), 1.0 / len(weights))


def _keys(uid: bytes) -> tuple[np.uint64, np.uint64]:
    if len(uid) != UID_BYTES:
        raise ValueError(f"uid must be {UID_BYTES} bytes, not {len(uid)}")
    low, high = int.from_bytes(uid[:8], "little"), int.from_bytes(uid[8:], "little")
    return np.uint64(low), np.uint64(high)
