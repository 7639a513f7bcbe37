"""What the slates of all policies are made of, compiled into each policy's one call a decision."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pullarm.policies.compile import kernel, request_kernel
from pullarm.policies.exact import draw_index, integer_weights, word_below

Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]
Values = TypeVar("Values", NDArray[np.float64], NDArray[np.int64])

# Later slots are renormalised: with so many taken the weights left say little, and cost much.
RECOMPUTED_SLOTS = 10

_ONE = np.uint64(1)


@kernel
def arranged(candidates: Integers, n_arms: int) -> Integers:
    """The distinct rows among `candidates`, ascending; empty if one is no row from 0 to n_arms - 1."""
    marks = np.zeros((n_arms + 63) >> 6, dtype=np.uint64)
    distinct = 0
    for row in candidates:
        if row < 0 or row >= n_arms:
            return np.empty(0, dtype=np.int64)
        mark = _ONE << np.uint64(row & 63)
        distinct += (marks[row >> 6] & mark) == 0
        marks[row >> 6] |= mark
    rows = np.empty(distinct, dtype=np.int64)
    n_rows = 0
    for word in range(len(marks)):
        left = marks[word]
        while left != 0:
            without_lowest = left & (left - _ONE)
            # The exponent of a power of two is the place of its bit.
            place = (np.float64(left ^ without_lowest).view(np.int64) >> 52) - 1023
            rows[n_rows] = (word << 6) + place
            n_rows += 1
            left = without_lowest
    return rows


@kernel
def fill_slot(
    slate: Integers,
    slot: int,
    rows: Integers,
    weights: Doubles,
    floor: float,
    key_0: int,
    key_1: int,
) -> int:
    """Draw one of `rows` into slate[slot] as (row, weight, total); its index in `rows`."""
    integers = integer_weights(weights, floor)
    index, total = draw_index(integers, np.uint64(key_0), np.uint64(key_1), np.uint64(slot))
    slate[slot, 0], slate[slot, 1], slate[slot, 2] = rows[index], integers[index], total
    return index


@kernel
def without(values: Values, index: int) -> Values:
    """`values` (k,) without one of them, (k - 1,), in the same memory."""
    for i in range(index, len(values) - 1):
        values[i] = values[i + 1]
    return values[:-1]


@kernel
def renormalise(weights: Doubles) -> None:
    """Make weights (k,) sum to 1 again; uniform if nothing of them is left."""
    total = 0.0
    for weight in weights:
        total += weight
    if total > 0.0:
        for i in range(len(weights)):
            weights[i] /= total
    else:
        weights[:] = 1.0 / len(weights)


@kernel
def first_of(slate: Integers) -> tuple[int, int, int]:
    """The row, weight and total of a slate's first slot; -1 for the row if it has none."""
    if len(slate) == 0:
        return -1, 0, 0
    return slate[0, 0], slate[0, 1], slate[0, 2]


@kernel
def cumulated(weights: Doubles, rows: Integers, n_arms: int, floor: float) -> NDArray[np.uint64]:
    """The integer weights (k,) of `rows` by arm row, 0 for the others, each with all before it added."""
    integers = integer_weights(weights, floor)
    ends = np.zeros(n_arms, dtype=np.uint64)
    for i in range(len(rows)):
        ends[rows[i]] = integers[i]
    for row in range(1, n_arms):
        ends[row] += ends[row - 1]
    return ends


@request_kernel
def draw_from(ends: NDArray[np.uint64], key_0: int, key_1: int) -> tuple[int, int, int]:
    """The first slot of a slate from cumulated weights (n_arms,), not all 0: row, weight and total."""
    total = ends[-1]
    left = word_below(total, np.uint64(key_0), np.uint64(key_1), np.uint64(0))
    low, high = 0, len(ends) - 1
    while low < high:
        middle = (low + high) >> 1
        if ends[middle] > left:
            high = middle
        else:
            low = middle + 1
    before = ends[low - 1] if low > 0 else np.uint64(0)
    return low, int(ends[low] - before), int(total)
