"""The draw: integer weights, a counter-based generator, and slates.

What is logged is what was drawn from: candidate i is shown with probability exactly
q_i / T for integers q and T = sum q, so logged propensities carry no rounding of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pullarm.policies.base import Offer, Policy, Prepared
from pullarm.policies.compile import kernel

# The number of the arithmetic, logged with every decision. Whatever could change one bit of
# weights or draw (this file, the tables, the grid's nodes) must increment it.
KERNEL = 1

UID_BYTES = 16
WEIGHT_ONE = 2**32  # what a weight of 1 becomes

_LOW_HALF = np.uint64(0xFFFFFFFF)
_HALF_BITS = np.uint64(32)
_PHILOX_MULTIPLIER_0 = np.uint64(0xD2E7470EE14C6C93)
_PHILOX_MULTIPLIER_1 = np.uint64(0xCA5A826395121157)
_PHILOX_BUMP_0 = np.uint64(0x9E3779B97F4A7C15)
_PHILOX_BUMP_1 = np.uint64(0xBB67AE8584CAA73B)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_WEIGHT_ONE = float(WEIGHT_ONE)


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
def philox(
    key_0: np.uint64, key_1: np.uint64, counter_0: np.uint64, counter_1: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Philox4x64-10 of the counter (counter_0, counter_1, 0, 0).

    Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC11).
    """
    x_0, x_1, x_2, x_3 = counter_0, counter_1, _ZERO, _ZERO
    for _ in range(10):
        high_0, low_0 = _product(_PHILOX_MULTIPLIER_0, x_0)
        high_1, low_1 = _product(_PHILOX_MULTIPLIER_1, x_2)
        x_0, x_1, x_2, x_3 = high_1 ^ x_1 ^ key_0, low_1, high_0 ^ x_3 ^ key_1, low_0
        key_0 += _PHILOX_BUMP_0
        key_1 += _PHILOX_BUMP_1
    return x_0, x_1, x_2, x_3


@kernel
def _integers(weights: NDArray[np.float64], floor: float) -> NDArray[np.uint64]:
    k = len(weights)
    integers = np.empty(k, dtype=np.uint64)
    for i in range(k):
        floored = (1.0 - floor) * weights[i] + floor / k
        integers[i] = (
            _ZERO if floored == 0.0 else np.uint64(max(1.0, np.rint(floored * _WEIGHT_ONE)))
        )
    return integers


@kernel
def _draw(
    integers: NDArray[np.uint64], key_0: np.uint64, key_1: np.uint64, slot: np.uint64
) -> tuple[int, np.uint64]:
    """The index drawn and the total it was drawn from."""
    total = _ZERO
    for i in range(len(integers)):
        total += integers[i]
    # 2^64 mod total: below it, the low words would favour the small remainders.
    threshold = (_ZERO - total) % total
    attempt = _ZERO
    word = philox(key_0, key_1, attempt, slot)[0]
    while word < threshold:
        attempt += _ONE
        word = philox(key_0, key_1, attempt, slot)[0]
    left = word % total
    chosen = 0
    while left >= integers[chosen]:
        left -= integers[chosen]
        chosen += 1
    return chosen, total


def integer_weights(weights: NDArray[np.float64], floor: float) -> NDArray[np.uint64]:
    """Weights (k,) with the floor applied, as integers: rint(w 2^32), at least 1 where w > 0."""
    return _integers(weights, floor)


def draw(integers: NDArray[np.uint64], uid: bytes, slot: int) -> int:
    """The index drawn for decision `uid` (16 bytes) in `slot`: i with probability q_i / sum q.

    The same arguments always give the same index; the uid is Philox's key, the counter is
    (attempt, slot), and attempts beyond the first only remove the bias of a remainder.
    """
    key_0, key_1 = _keys(uid)
    if not integers.any():
        raise ValueError("all integer weights are 0; there is nothing to draw from")
    return int(_draw(integers, key_0, key_1, np.uint64(slot))[0])


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
    policy: Policy, prepared: Prepared, candidates: Sequence[int], *, slots: int, uid: bytes
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
    order = list(dict.fromkeys(candidates))
    _check(order, prepared.n_arms, slots)
    key_0, key_1 = _keys(uid)
    offer = Offer.of(order)
    weights = prepared.weights(offer)
    choices: list[Choice] = []
    while True:
        slot = len(choices)
        integers = _integers(weights, policy.floor)
        index, total = _draw(integers, key_0, key_1, np.uint64(slot))
        row = int(offer.rows[index])
        choices.append(Choice(row=row, weight=int(integers[index]), total=int(total)))
        order.remove(row)
        if len(choices) == slots or not order:
            return choices
        offer = Offer.of(order)
        if len(choices) < prepared.recomputed_slots:
            weights = prepared.weights(offer)
        else:
            weights = _renormalised(np.delete(weights, index))


def _renormalised(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    total = weights.sum()
    if total > 0.0:
        return np.asarray(weights / total, dtype=np.float64)
    return np.full(len(weights), 1.0 / len(weights))


def _check(order: list[int], n_arms: int, slots: int) -> None:
    if not order:
        raise ValueError("candidates is empty; give at least one arm row")
    if min(order) < 0 or max(order) >= n_arms:
        raise ValueError(f"candidates must be arm rows from 0 to {n_arms - 1}; got {order}")
    if slots < 1:
        raise ValueError(f"slots must be at least 1, not {slots}")


def _keys(uid: bytes) -> tuple[np.uint64, np.uint64]:
    if len(uid) != UID_BYTES:
        raise ValueError(f"uid must be {UID_BYTES} bytes, not {len(uid)}")
    return (
        np.uint64(int.from_bytes(uid[:8], "little")),
        np.uint64(int.from_bytes(uid[8:], "little")),
    )
