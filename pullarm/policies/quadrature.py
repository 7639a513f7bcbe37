"""P(best) by Gauss-Legendre quadrature over tables of each arm's log CDF.

With independent posteriors of CDF F_j and density f_j, and S = sum_j log F_j over the candidates,

    p_i = integral of f_i prod_{j != i} F_j = integral of (f_i / F_i) exp(S).

A row holds, at every node x of weight w, `log F_i(x)` and the hazard `w f_i(x) / F_i(x)`; a
request adds the candidates' first halves, takes one exponential a node, and one dot product with
the second half a candidate. Only the nodes between the density's two e^-27 points are kept:
below them F = 0, above them F = 1. Everything is measured in the angle asin(sqrt(rate)), in
which a Beta(a, b) density, a and b >= 1/2, is log-concave with deviation about 1 / (2 sqrt(n)).

Elementary functions are our own and sums have a fixed order: the bits depend on IEEE 754
alone, not on processor, C library or scipy. Float32 tables cost about 1e-7.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pullarm.policies.compile import background_kernel, kernel

Doubles = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]

NODES = 4  # Gauss-Legendre nodes of a panel
RIGHT_ANGLE = math.pi / 2
WIDEST_PANEL = 4.0  # that still resolves a posterior, in standard deviations

_NODE_AT = np.array(
    [-0.8611363115940526, -0.3399810435848563, 0.3399810435848563, 0.8611363115940526]
)
_NODE_WEIGHT = np.array(
    [0.3478548451374538, 0.6521451548625461, 0.6521451548625461, 0.3478548451374538]
)
_THIRD_AT = np.array([-0.7745966692414834, 0.0, 0.7745966692414834])
_THIRD_WEIGHT = np.array([5.0 / 9.0, 8.0 / 9.0, 5.0 / 9.0])
_FACTORIAL_RECIPROCALS = 1.0 / np.array([math.factorial(i) for i in range(13)], dtype=np.float64)
_LOG2_E = 1.4426950408889634
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_LEAST_TOTAL = 1e-3  # far below 1, which the quadrature gives where the grid resolves
_ROUND = 1.5 * 2.0**52
_SQRT_2 = 1.4142135623730951
_MANTISSA = np.int64((1 << 52) - 1)
_EXPONENT_OF_ONE = np.int64(1023 << 52)
_LOG_NEGLIGIBLE = -27.0  # of the density at its mode: 7.3 standard deviations of a normal


@kernel
def exp(x: float) -> float:
    """e^x within 2 units in the last place for -700 <= x <= 700; 0 below."""
    # Adding 1.5 * 2^52 rounds to a whole k and leaves k in the low bits.
    shifted = x * _LOG2_E + _ROUND
    k = shifted - _ROUND
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    value = _FACTORIAL_RECIPROCALS[12]
    for i in range(11, -1, -1):
        value = value * r + _FACTORIAL_RECIPROCALS[i]
    power = np.int64((np.float64(shifted).view(np.int64) << 52) + _EXPONENT_OF_ONE)
    return value * power.view(np.float64) if x >= -700.0 else 0.0


@kernel
def log(x: float) -> float:
    """The natural logarithm of a normal x > 0, within 2 units in the last place."""
    bits = np.float64(x).view(np.int64)
    exponent = float((bits >> 52) - 1023)
    mantissa = np.int64((bits & _MANTISSA) | _EXPONENT_OF_ONE).view(np.float64)
    if mantissa > _SQRT_2:
        mantissa *= 0.5
        exponent += 1.0
    s = (mantissa - 1.0) / (mantissa + 1.0)
    z = s * s
    series = 0.0
    for i in range(21, 1, -2):
        series = series * z + 1.0 / i
    return exponent * _LN2_HIGH + (exponent * _LN2_LOW + 2.0 * s * (1.0 + z * series))


@kernel
def _sine(x: float) -> float:
    """sin x for 0 <= x <= pi/2 by its Taylor series."""
    square = x * x
    series = 1.0
    for i in range(23, 2, -2):
        series = 1.0 - square / (i * (i - 1.0)) * series
    return x * series


class GridTables(NamedTuple):
    """What all rows of one grid share; angles in [0, pi/2]."""

    points: Doubles  # (n_panels + 1,) edges of the panels, ascending
    edges: Doubles  # (n_panels + 1,) squared sines of the edges: rates
    nodes: Doubles  # (G,)
    weights: Doubles  # (G,)
    at_nodes: Doubles  # (2, G) log sine and log cosine
    in_gaps: Doubles  # (2, 3 G) the same at three points in the gap before each node
    gap_weights: Doubles  # (3 G,) of those points; 0 before the first node


@background_kernel
def tabulate_grid(points: Doubles) -> GridTables:
    """The shared tables of a grid, from its panel edges (n_panels + 1,), angles ascending."""
    edges = np.empty(len(points))
    for p in range(len(points)):
        edges[p] = _sine(points[p]) ** 2
    size = (len(points) - 1) * NODES
    nodes, weights = np.empty(size), np.empty(size)
    at_nodes = np.empty((2, size))
    in_gaps, gap_weights = np.zeros((2, 3 * size)), np.zeros(3 * size)
    for g in range(size):
        p, i = g // NODES, g % NODES
        half = 0.5 * (points[p + 1] - points[p])
        nodes[g] = 0.5 * (points[p + 1] + points[p]) + half * _NODE_AT[i]
        weights[g] = half * _NODE_WEIGHT[i]
        at_nodes[0, g], at_nodes[1, g] = _logs(nodes[g])
        for j in range(3 if g > 0 else 0):
            half_gap = 0.5 * (nodes[g] - nodes[g - 1])
            x = nodes[g - 1] + half_gap * (1.0 + _THIRD_AT[j])
            in_gaps[0, 3 * g + j], in_gaps[1, 3 * g + j] = _logs(x)
            gap_weights[3 * g + j] = half_gap * _THIRD_WEIGHT[j]
    return GridTables(points, edges, nodes, weights, at_nodes, in_gaps, gap_weights)


@kernel
def _logs(angle: float) -> tuple[float, float]:
    """Log sine and log cosine of an angle inside (0, pi/2)."""
    return log(_sine(angle)), log(_sine(RIGHT_ANGLE - angle))


@kernel
def _log_peak(a: float, b: float) -> float:
    """The largest value of a log sin + b log cos; its angle's squared sine is a / (a + b)."""
    peak = 0.0
    if a > 0.0:
        peak += 0.5 * a * log(a / (a + b))
    if b > 0.0:
        peak += 0.5 * b * log(b / (a + b))
    return peak


@kernel
def _deviation(a: float, b: float) -> float:
    """About the standard deviation in the angle, from the curvature at the peak."""
    return 1.0 / math.sqrt(2.0 * max(a + b, 2.0))


@kernel
def _mass(a: float, b: float, lower: float, upper: float) -> float:
    """The density, relative to its peak, integrated from `lower` to `upper`."""
    peak = _log_peak(a, b)
    pieces = math.ceil((upper - lower) / (0.5 * _deviation(a, b)))
    half = 0.5 * (upper - lower) / max(pieces, 1)
    total = 0.0
    for piece in range(pieces):
        for i in range(3):
            log_sine, log_cosine = _logs(lower + half * (2.0 * piece + 1.0 + _THIRD_AT[i]))
            total += half * _THIRD_WEIGHT[i] * exp(a * log_sine + b * log_cosine - peak)
    return total


@kernel
def _resolvable_share(grid: GridTables, a: float, b: float) -> float:
    """The share of its serves, at most 1, that keeps an arm too wide to fall between nodes."""
    middle = a / (a + b) if a + b > 0.0 else 0.5
    panel = min(max(int(np.searchsorted(grid.edges, middle)), 1), len(grid.edges) - 1)
    width = grid.points[panel] - grid.points[panel - 1]
    return min((WIDEST_PANEL * _deviation(a, b) / width) ** 2, 1.0)


@kernel
def _mass_outside(grid: GridTables, a: float, b: float) -> float:
    """About the share of a posterior that lies beyond the ends of the grid."""
    start, end, deviation = grid.points[0], grid.points[-1], _deviation(a, b)
    outside = _mass(a, b, max(start - 9.0 * deviation, 0.0), start)
    outside += _mass(a, b, end, min(end + 9.0 * deviation, RIGHT_ANGLE))
    return outside / deviation


@kernel
def _window(a: float, b: float, at_nodes: Doubles) -> tuple[int, int]:
    """The nodes [low, high) where the density is not negligible, by bisection on either side."""
    least = _log_peak(a, b) + _LOG_NEGLIGIBLE
    middle = int(np.searchsorted(at_nodes[0], 0.5 * log(a / (a + b)))) if a > 0.0 else 0
    bounds = np.array([0, middle, middle, at_nodes.shape[1]])
    for side in range(2):
        while bounds[2 * side] < bounds[2 * side + 1]:
            g = (bounds[2 * side] + bounds[2 * side + 1]) // 2
            negligible = a * at_nodes[0, g] + b * at_nodes[1, g] < least
            if negligible == (side == 0):
                bounds[2 * side] = g + 1
            else:
                bounds[2 * side + 1] = g
    return bounds[0], bounds[2]


@background_kernel
def measure_rows(
    grid: GridTables, prior: tuple[float, float], successes: Doubles, failures: Doubles
) -> tuple[Doubles, Integers, Doubles]:
    """Exponents (m, 2), node windows [low, high) (m, 2) and the mass beyond the grid (m,)."""
    m = len(successes)
    exponents, windows = np.empty((m, 2)), np.empty((m, 2), dtype=np.int64)
    outside = np.zeros(m)
    for row in range(m):
        a, b = 2.0 * (prior[0] + successes[row]) - 1.0, 2.0 * (prior[1] + failures[row]) - 1.0
        low, high = _window(a, b, grid.at_nodes)
        if low == 0 or high == len(grid.nodes):
            outside[row] = _mass_outside(grid, a, b)
        share = _resolvable_share(grid, a, b)
        if share < 1.0:
            a = 2.0 * (prior[0] + share * successes[row]) - 1.0
            b = 2.0 * (prior[1] + share * failures[row]) - 1.0
            low, high = _window(a, b, grid.at_nodes)
        exponents[row, 0], exponents[row, 1] = a, b
        windows[row, 0], windows[row, 1] = low, high
    return exponents, windows, outside


@kernel
def _tails(a: float, b: float, low: int, high: int, grid: GridTables) -> tuple[float, float]:
    """The masses below the first and above the last node of a window."""
    peak, deviation = _log_peak(a, b), _deviation(a, b)
    reaches = np.empty(2)
    for side, g in enumerate((low, high - 1)):
        # A tail that starts far out is short; one that starts near the peak is not.
        depth = max(peak - a * grid.at_nodes[0, g] - b * grid.at_nodes[1, g], 0.0)
        reaches[side] = deviation * max(9.0 - math.sqrt(2.0 * depth), 2.0)
    first, last = grid.nodes[low], grid.nodes[high - 1]
    head = _mass(a, b, max(first - reaches[0], 0.0), first)
    return head, _mass(a, b, last, min(last + reaches[1], RIGHT_ANGLE))


@kernel
def _fill_row(
    a: float, b: float, low: int, grid: GridTables, logs: Singles, hazards: Singles
) -> None:
    """Write one row's log CDF and weighted hazard, both (high - low,)."""
    size = len(logs)
    peak = _log_peak(a, b)
    below, above = _tails(a, b, low, low + size, grid)
    masses = _heights(a, b, peak, grid.in_gaps[:, 3 * low : 3 * (low + size)])
    masses *= grid.gap_weights[3 * low : 3 * (low + size)]
    aboves = np.empty(size)
    for i in range(size - 1, -1, -1):
        aboves[i] = above
        if i > 0:
            above += masses[3 * i] + masses[3 * i + 1] + masses[3 * i + 2]
    total = below + above
    heights = _heights(a, b, peak, grid.at_nodes[:, low : low + size])
    for i in range(size):
        if i > 0:
            below += masses[3 * i] + masses[3 * i + 1] + masses[3 * i + 2]
        cdf = below / total
        # The smaller of the two sides is the accurate one.
        logs[i] = log(cdf) if cdf < 0.5 else log(1.0 - aboves[i] / total)
        hazards[i] = grid.weights[low + i] * heights[i] / (cdf * total)


@kernel
def _heights(a: float, b: float, peak: float, at: Doubles) -> Doubles:
    """The density, relative to its peak, where log sine and log cosine are `at` (2, m)."""
    log_sines, log_cosines = at[0], at[1]
    heights = np.empty(len(log_sines))
    for i in range(len(heights)):
        heights[i] = exp(a * log_sines[i] + b * log_cosines[i] - peak)
    return heights


@background_kernel
def fill_rows(
    grid: GridTables, exponents: Doubles, windows: Integers, slab: Singles, starts: Integers
) -> None:
    """Write m rows into `slab`: row r at starts[r], its logs first, then its hazards."""
    for row in range(len(exponents)):
        low, high = windows[row]
        if high > low:
            a, b = exponents[row]
            both = slab[starts[row] : starts[row] + 2 * (high - low)]
            _fill_row(a, b, low, grid, both[: high - low], both[high - low :])


@kernel
def _dot(values: Singles, factors: Doubles) -> float:
    """The sum of products in four fixed lanes, which vectorises without reassociation."""
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
def _products(
    slab: Singles, starts: Integers, windows: Integers, rows: Integers, bottom: int, top: int
) -> Doubles:
    """The product of the rows' CDFs at the nodes [bottom, top)."""
    products = np.zeros(max(top - bottom, 0))
    for row in rows:
        low, high = windows[row]
        first = max(low, bottom)
        at = starts[row] + first - low
        for g in range(high - first):
            products[first - bottom + g] += slab[at + g]
    for g in range(len(products)):
        products[g] = exp(products[g])
    return products


@kernel
def probability_best(slab: Singles, starts: Integers, windows: Integers, rows: Integers) -> Doubles:
    """P(best) of each of `rows` (k,), distinct and ascending, among themselves; it sums to 1.

    Where the product underflows everywhere, the arms whose window reaches the highest lower
    end share equally.
    """
    k = len(rows)
    bottom, top = 0, 0
    for row in rows:
        bottom, top = max(bottom, windows[row, 0]), max(top, windows[row, 1])
    products = _products(slab, starts, windows, rows, bottom, top)
    weights = np.zeros(k)
    total = 0.0
    for i in range(k):
        low, high = windows[rows[i]]
        first = max(low, bottom)
        if high > first:
            at = starts[rows[i]] + (high - low) + (first - low)
            hazards = slab[at : at + high - first]
            weights[i] = _dot(hazards, products[first - bottom : high - bottom])
        total += weights[i]
    if not total > _LEAST_TOTAL:
        for i in range(k):
            weights[i] = 1.0 if windows[rows[i], 1] >= bottom else 0.0
        total = weights.sum()
    return weights / total
