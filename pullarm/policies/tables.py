"""The tables of a grid and the rows of the arms on it: each arm's log CDF and hazard at its nodes.

Everything is measured in the angle asin(sqrt(rate)), in which a Beta(a, b) density, a and
b >= 1/2, is log-concave with deviation about 1 / (2 sqrt(n)); a and b below are the exponents of
sine and cosine there, 2 alpha - 1 and 2 beta - 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pullarm.domain.assignment import MICRO
from pullarm.policies.compile import background_kernel, kernel
from pullarm.policies.elementary import exp, log, sine

Doubles = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]

NODES = 4  # Gauss-Legendre nodes of a panel
RIGHT_ANGLE = math.pi / 2
MOST_MASS_OUTSIDE = 1e-6  # of an arm, beyond the ends of the grid, before the grid is refused
WIDEST_PANEL = 4.0  # that still resolves a posterior, in standard deviations

_NODE_AT = np.array(
    [-0.8611363115940526, -0.3399810435848563, 0.3399810435848563, 0.8611363115940526]
)
_NODE_WEIGHT = np.array(
    [0.3478548451374538, 0.6521451548625461, 0.6521451548625461, 0.3478548451374538]
)
_THIRD_AT = np.array([-0.7745966692414834, 0.0, 0.7745966692414834])
_THIRD_WEIGHT = np.array([5.0 / 9.0, 8.0 / 9.0, 5.0 / 9.0])
# Of the density at its mode: 6.6 standard deviations of a normal, beyond which there is less
# mass than the draw can tell from none (2^-32).
_LOG_NEGLIGIBLE = -22.0
# Logs are rounded to multiples of this, so that their sums have no rounding at all: they are the
# same in any order, and an arm can be taken out of one again.
_LOG_UNIT = 2.0**-30


class GridTables(NamedTuple):
    """What all rows of one grid share; angles in [0, pi/2]."""

    points: Doubles  # (n_panels + 1,) edges of the panels, ascending
    edges: Doubles  # (n_panels + 1,) squared sines of the edges: rates
    nodes: Doubles  # (G,)
    weights: Doubles  # (G,)
    at_nodes: Doubles  # (2, G) log sine and log cosine
    in_gaps: Doubles  # (2, 3 G) the same at three points in the gap before each node
    gap_weights: Doubles  # (3 G,) of those points; 0 before the first node


@kernel
def _logs(angle: float) -> tuple[float, float]:
    """Log sine and log cosine of an angle inside (0, pi/2)."""
    return log(sine(angle)), log(sine(RIGHT_ANGLE - angle))


@background_kernel
def tabulate_grid(points: Doubles) -> GridTables:
    """The shared tables of a grid, from its panel edges (n_panels + 1,), angles ascending."""
    edges = np.empty(len(points))
    for p in range(len(points)):
        edges[p] = sine(points[p]) ** 2
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
    grid: GridTables,
    prior: tuple[float, float],
    serves_micro: Integers,
    rewards_micro: Integers,
    rows: Integers,
) -> tuple[Doubles, Integers, int, int]:
    """Where `rows` (m,) of a posterior lie on the grid.

    Returns:
        Exponents (m, 2); places (m, 3): an offset into a block of a slab and the nodes
        [low, high); the size of that block; and the first of `rows` of which more than
        MOST_MASS_OUTSIDE lies beyond the grid, or -1.
    """
    exponents, places = np.empty((len(rows), 2)), np.empty((len(rows), 3), dtype=np.int64)
    size, missed = 0, -1
    for i in range(len(rows)):
        successes = rewards_micro[rows[i]] / MICRO
        failures = (serves_micro[rows[i]] - rewards_micro[rows[i]]) / MICRO
        a, b = 2.0 * (prior[0] + successes) - 1.0, 2.0 * (prior[1] + failures) - 1.0
        low, high = _window(a, b, grid.at_nodes)
        at_an_end = low == 0 or high == len(grid.nodes)
        if missed < 0 and at_an_end and _mass_outside(grid, a, b) > MOST_MASS_OUTSIDE:
            missed = rows[i]
        share = _resolvable_share(grid, a, b)
        if share < 1.0:
            a = 2.0 * (prior[0] + share * successes) - 1.0
            b = 2.0 * (prior[1] + share * failures) - 1.0
            low, high = _window(a, b, grid.at_nodes)
        exponents[i, 0], exponents[i, 1] = a, b
        places[i, 0], places[i, 1], places[i, 2] = size, low, high
        size += 2 * (high - low)
    return exponents, places, size, missed


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
def _heights(a: float, b: float, peak: float, at: Doubles) -> Doubles:
    """The density, relative to its peak, where log sine and log cosine are `at` (2, m)."""
    log_sines, log_cosines = at[0], at[1]
    heights = np.empty(len(log_sines))
    for i in range(len(heights)):
        heights[i] = exp(a * log_sines[i] + b * log_cosines[i] - peak)
    return heights


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
        exact = log(cdf) if cdf < 0.5 else log(1.0 - aboves[i] / total)
        logs[i] = np.rint(exact / _LOG_UNIT) * _LOG_UNIT
        hazards[i] = grid.weights[low + i] * heights[i] / (cdf * total)


@background_kernel
def fill_rows(grid: GridTables, exponents: Doubles, places: Integers, slab: Singles) -> None:
    """Write m rows of exponents (m, 2) at their places (m, 3): the logs first, then the hazards."""
    for row in range(len(exponents)):
        start, low, high = places[row]
        if high > low:
            a, b = exponents[row]
            both = slab[start : start + 2 * (high - low)]
            _fill_row(a, b, low, grid, both[: high - low], both[high - low :])
