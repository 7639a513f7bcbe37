"""Exact integer arithmetic on 64-bit words: fractions compared, weights drawn, Philox.

All of it is compiled and free of rounding but for `integer_weights`, which rounds once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pullarm.policies.compile import kernel, request_kernel

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
def product(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """The 128-bit product of two words as (high, low)."""
    a_low, a_high = a & _LOW_HALF, a >> _HALF_BITS
    b_low, b_high = b & _LOW_HALF, b >> _HALF_BITS
    low = a_low * b_low
    cross = a_high * b_low + (low >> _HALF_BITS)
    other = a_low * b_high + (cross & _LOW_HALF)
    high = a_high * b_high + (cross >> _HALF_BITS) + (other >> _HALF_BITS)
    return high, (other << _HALF_BITS) | (low & _LOW_HALF)


@kernel
def share_of_highest(
    numerators: NDArray[np.uint64], denominators: NDArray[np.uint64], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """1 shared equally by those of `rows` (k,) whose fraction is the highest, compared exactly."""
    k = len(rows)
    tied = np.empty(k, dtype=np.int64)
    n_tied = 0
    for i in range(k):
        order = 1
        if n_tied > 0:
            best = rows[tied[0]]
            mine = product(numerators[rows[i]], denominators[best])
            theirs = product(numerators[best], denominators[rows[i]])
            order = int(mine > theirs) - int(mine < theirs)
        if order > 0:
            n_tied = 0
        if order >= 0:
            tied[n_tied] = i
            n_tied += 1
    shares = np.zeros(k)
    for t in range(n_tied):
        shares[tied[t]] = 1.0 / n_tied
    return shares


@kernel
def philox(
    key_0: np.uint64, key_1: np.uint64, counter_0: np.uint64, counter_1: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Philox4x64-10 of the counter (counter_0, counter_1, 0, 0).

    Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC11).
    """
    x_0, x_1, x_2, x_3 = counter_0, counter_1, _ZERO, _ZERO
    for _ in range(10):
        high_0, low_0 = product(_PHILOX_MULTIPLIER_0, x_0)
        high_1, low_1 = product(_PHILOX_MULTIPLIER_1, x_2)
        x_0, x_1, x_2, x_3 = high_1 ^ x_1 ^ key_0, low_1, high_0 ^ x_3 ^ key_1, low_0
        key_0 += _PHILOX_BUMP_0
        key_1 += _PHILOX_BUMP_1
    return x_0, x_1, x_2, x_3


@request_kernel
def integer_weights(weights: NDArray[np.float64], floor: float) -> NDArray[np.uint64]:
    """Weights (k,) summing to 1, mixed with the floor and made integers.

    Returns:
        (k,) q_i = max(1, rint(w'_i 2^32)) with w' = (1 - floor) w + floor / k; 0 where w' is 0.
    """
    k = len(weights)
    integers = np.zeros(k, dtype=np.uint64)
    for i in range(k):
        mixed = (1.0 - floor) * weights[i] + floor / k
        if mixed > 0.0:
            integers[i] = np.uint64(max(1.0, np.rint(mixed * _WEIGHT_ONE)))
    return integers


@kernel
def word_below(total: np.uint64, key_0: np.uint64, key_1: np.uint64, slot: np.uint64) -> np.uint64:
    """A random integer below `total`, which is not 0, every one as likely.

    The key is the decision's uid and the counter (attempt, slot); attempts beyond the first
    only remove the bias of a remainder.
    """
    # 2^64 mod total: words below it would favour the small remainders.
    least = (_ZERO - total) % total
    attempt = _ZERO
    word = philox(key_0, key_1, attempt, slot)[0]
    while word < least:
        attempt += _ONE
        word = philox(key_0, key_1, attempt, slot)[0]
    return word % total


@request_kernel
def draw_index(
    integers: NDArray[np.uint64], key_0: np.uint64, key_1: np.uint64, slot: np.uint64
) -> tuple[int, np.uint64]:
    """The index drawn, i with probability integers[i] / total, and the total, which is not 0."""
    total = _ZERO
    for i in range(len(integers)):
        total += integers[i]
    left = word_below(total, key_0, key_1, slot)
    chosen = 0
    while left >= integers[chosen]:
        left -= integers[chosen]
        chosen += 1
    return chosen, total
