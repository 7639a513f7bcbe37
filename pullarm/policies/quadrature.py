"""P(best) by Gauss-Legendre quadrature over tables of each arm's log CDF.

With independent posteriors of CDF F_j and density f_j, and S = sum_j log F_j over the candidates,

    p_i = integral of f_i prod_{j != i} F_j = integral of (f_i / F_i) exp(S).

A row of the tables holds, at every node x of weight w where the density is not negligible,
`log F_i(x)` and the hazard `w f_i(x) / F_i(x)` (see `tables`); below them F = 0, above them
F = 1. A request adds the candidates' logs, takes one exponential a node, and one dot product
with the hazards a candidate, over the nodes that no candidate is certainly above.

Logs are multiples of 2^-30 and at most 24 bits long, so sums of up to 100,000 of them are exact:
the same in any order, and what is left once an arm is subtracted is to the bit what the others
add up to. Dot products have a fixed order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pullarm.policies.compile import kernel, request_kernel
from pullarm.policies.elementary import exp

Doubles = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]

_LEAST_TOTAL = 1e-3  # far below 1, which the quadrature gives where the grid resolves


@kernel
def contest(places: Integers, rows: Integers) -> tuple[int, int]:
    """The nodes [bottom, top) from the highest lower end to the highest upper end of `rows`."""
    bottom, top = 0, 0
    for row in rows:
        bottom, top = max(bottom, places[row, 1]), max(top, places[row, 2])
    return bottom, top


@kernel
def add_logs(
    sums: Doubles, slab: Singles, places: Integers, rows: Integers, bottom: int, end: int
) -> None:
    """Add the logs of `rows` to `sums` (G,) at the nodes [bottom, end)."""
    for row in rows:
        start, low, high = places[row]
        first, last = max(low, bottom), min(high, end)
        if last > first:
            logs = slab[start + first - low : start + last - low]
            at = sums[first:last]
            for g in range(len(logs)):
                at[g] += logs[g]


@kernel
def forget(
    sums: Doubles, slab: Singles, places: Integers, rows: Integers, row: int, bottom: int
) -> int:
    """Take `row` out of `sums`, which hold from node `bottom`; `rows` (k,) are left.

    Returns:
        The node from which `sums` hold now: where `row` alone was certainly below, lower.
    """
    start, low, high = places[row]
    first = max(low, bottom)
    if high > first:
        logs = slab[start + first - low : start + high - low]
        at = sums[first:high]
        for g in range(len(logs)):
            at[g] -= logs[g]
    lower = contest(places, rows)[0]
    sums[lower:bottom] = 0.0
    add_logs(sums, slab, places, rows, lower, bottom)
    return lower


@kernel
def _dot(values: Singles, factors: Doubles) -> float:
    """The sum of products in four fixed lanes."""
    size = len(values)
    lane_0, lane_1, lane_2, lane_3 = 0.0, 0.0, 0.0, 0.0
    whole = size - size % 4
    for i in range(0, whole, 4):
        lane_0 += values[i] * factors[i]
        lane_1 += values[i + 1] * factors[i + 1]
        lane_2 += values[i + 2] * factors[i + 2]
        lane_3 += values[i + 3] * factors[i + 3]
    for i in range(whole, size):
        lane_0 += values[i] * factors[i]
    return (lane_0 + lane_1) + (lane_2 + lane_3)


@kernel
def shares(sums: Doubles, slab: Singles, places: Integers, rows: Integers, bottom: int) -> Doubles:
    """P(best) of each of `rows` (k,), distinct and ascending, from the sums of their logs.

    It sums to 1. Where the product underflows everywhere, the arms whose window reaches
    `bottom` share equally.
    """
    products = np.empty(max(len(sums) - bottom, 0))
    for g in range(len(products)):
        products[g] = exp(sums[bottom + g])
    k = len(rows)
    weights = np.zeros(k)
    total = 0.0
    for i in range(k):
        start, low, high = places[rows[i]]
        first = max(low, bottom)
        if high > first:
            at = start + (high - low) + (first - low)
            hazards = slab[at : at + high - first]
            weights[i] = _dot(hazards, products[first - bottom : high - bottom])
            total += weights[i]
    if not total > _LEAST_TOTAL:
        total = 0.0
        for i in range(k):
            weights[i] = 1.0 if places[rows[i], 2] >= bottom else 0.0
            total += weights[i]
    for i in range(k):
        weights[i] /= total
    return weights


@request_kernel
def probability_best(slab: Singles, places: Integers, rows: Integers) -> Doubles:
    """P(best) of each of `rows` (k,), distinct and ascending, among themselves."""
    bottom, top = contest(places, rows)
    sums = np.zeros(top)
    add_logs(sums, slab, places, rows, bottom, top)
    return shares(sums, slab, places, rows, bottom)
