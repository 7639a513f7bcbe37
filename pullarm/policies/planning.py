"""Where the quadrature's panels go, planned by the publisher from an experiment's posteriors.

Each arm walks outwards from its peak and asks for panels about two standard
deviations wide, narrower in its upper tail, where the contest of many arms is decided. The
narrowest demand at each place wins, and edges are laid so that every panel holds one demanded
panel's worth. Nothing here needs to be reproducible: the grid travels with the publication.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pullarm.policies.compile import background_kernel, kernel

RIGHT_ANGLE = math.pi / 2
N_BUCKETS = 1 << 14
MAX_PANELS = 2048
_FINEST = 0.125  # buckets
_MARGIN = 2.0  # panels
# A demanded panel in standard deviations; with 4 nodes a panel the error is about 3e-5.
_PANEL = 2.0
_WIDEST = 0.35  # radians, for posteriors that know nothing
_LOG_TAIL = -18.0  # the mass of a tail that is left without panels
_MAX_STEPS = 64
# A grid serves while no panel holds more than this many demanded ones (error about 2e-4) ...
_MOST_LOAD = 1.75
# ... nothing much is demanded beyond its ends, and it has not become needlessly fine.
_MOST_OUTSIDE = 0.25
_MOST_EXCESS = 3.0


@kernel
def _demand(widths: NDArray[np.float64], lower: float, upper: float, width: float) -> None:
    """Note a demand on [lower, upper] in the two blocks of 2^level buckets that cover it."""
    scale = N_BUCKETS / RIGHT_ANGLE
    first = min(max(int(lower * scale), 0), N_BUCKETS - 1)
    last = min(max(math.ceil(upper * scale), first + 1), N_BUCKETS)
    level = 0
    while (2 << level) <= last - first:
        level += 1
    # Finer than this would fill the whole bucket with panels meant for a sliver of it.
    width = max(width, _FINEST / scale)
    for at in (first, last - (1 << level)):
        widths[level, at] = min(widths[level, at], width)


@kernel
def _walk_down(widths: NDArray[np.float64], a: float, b: float, peak: float) -> None:
    angle = math.atan2(math.sqrt(a), math.sqrt(b)) if a + b > 0.0 else 0.5 * RIGHT_ANGLE
    step = min(_PANEL / math.sqrt(2.0 * max(a + b, 1e-9)), _WIDEST)
    last = False
    while angle > 0.0:
        _demand(widths, angle - step, angle, step)
        angle -= step
        if last or angle <= 0.0:
            return
        log_height = a * math.log(math.sin(angle)) + b * math.log(math.cos(angle)) - peak
        last = log_height < _LOG_TAIL  # one more panel, as a margin


@kernel
def _walk_up(widths: NDArray[np.float64], a: float, b: float, peak: float) -> None:
    angle = math.atan2(math.sqrt(a), math.sqrt(b)) if a + b > 0.0 else 0.5 * RIGHT_ANGLE
    spread = min(1.0 / math.sqrt(2.0 * max(a + b, 1e-9)), 0.6)
    # A density that peaks at the end has its whole upper tail in the last deviation.
    angle = min(angle, RIGHT_ANGLE - spread)
    last = False
    for _ in range(_MAX_STEPS):
        sine, cosine = math.sin(angle), math.cos(angle)
        local = 1.0 / math.sqrt(max(a / sine**2 + b / cosine**2, 1e-9)) if sine > 0.0 else spread
        slope = max(b * sine / cosine - a * cosine / max(sine, 1e-300), 0.0)
        left = RIGHT_ANGLE - angle
        step = min(_PANEL * local / (1.0 + slope * local / 3.0), _WIDEST, 0.6 * left)
        _demand(widths, angle, angle + step, step)
        angle += step
        if last:
            return
        log_height = a * math.log(math.sin(angle)) + b * math.log(math.cos(angle)) - peak
        tail = min(1.0 / max(slope, 1e-9), left) / (2.5 * spread)
        last = log_height + math.log(tail) < _LOG_TAIL  # one more panel, as a margin


@background_kernel
def _loads(
    successes: NDArray[np.float64], failures: NDArray[np.float64], alpha: float, beta: float
) -> NDArray[np.float64]:
    """(N_BUCKETS + 1,) demanded panels below each bucket's lower edge, cumulated."""
    n_levels = 15
    widths = np.full((n_levels, N_BUCKETS), np.inf)
    for row in range(len(successes)):
        a = 2.0 * (alpha + successes[row]) - 1.0
        b = 2.0 * (beta + failures[row]) - 1.0
        peak = 0.0
        if a > 0.0:
            peak += 0.5 * a * math.log(a / (a + b))
        if b > 0.0:
            peak += 0.5 * b * math.log(b / (a + b))
        _walk_down(widths, a, b, peak)
        _walk_up(widths, a, b, peak)
    for level in range(n_levels - 1, 0, -1):
        half = 1 << (level - 1)
        for at in range(N_BUCKETS - 2 * half + 1):
            width = widths[level, at]
            widths[level - 1, at] = min(widths[level - 1, at], width)
            widths[level - 1, at + half] = min(widths[level - 1, at + half], width)
    loads = np.zeros(N_BUCKETS + 1)
    for at in range(N_BUCKETS):
        loads[at + 1] = loads[at] + RIGHT_ANGLE / N_BUCKETS / widths[0, at]
    return loads


def plan_points(
    successes: NDArray[np.float64],
    failures: NDArray[np.float64],
    prior: tuple[float, float],
    previous: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Panel edges for arms of these successes and failures (n_arms,): angles, ascending.

    Returns:
        `previous` itself while it still serves, else new edges, at most MAX_PANELS + 1.
    """
    if len(successes) == 0:
        return np.array([0.0, RIGHT_ANGLE]) if previous is None else previous
    loads = _loads(successes, failures, float(prior[0]), float(prior[1]))
    angles = np.linspace(0.0, RIGHT_ANGLE, N_BUCKETS + 1)
    n_panels = min(max(math.ceil(loads[-1]), 1), MAX_PANELS)
    if previous is not None:
        held = np.interp(previous, angles, loads)
        most = _MOST_LOAD * max(1.0, loads[-1] / n_panels)
        outside = held[0] + loads[-1] - held[-1]
        excess = len(previous) - 1 > _MOST_EXCESS * n_panels + 8
        if np.diff(held).max() <= most and outside <= _MOST_OUTSIDE and not excess:
            return previous
    # Between arms nothing is demanded and the load stands still: keep where it rises.
    rising = np.concatenate(([True], np.diff(loads) > 0.0))
    rising[:-1] |= rising[1:]
    targets = np.linspace(0.0, loads[-1], n_panels + 1)
    points = np.interp(targets, loads[rising], angles[rising])
    if loads[-1] > n_panels:
        # Arms too narrow for the panels left are widened, beyond the ends too.
        margins = np.array([-_MARGIN, _MARGIN]) * np.diff(points)[[0, -1]]
        points[[0, -1]] = np.clip(points[[0, -1]] + margins, 0.0, RIGHT_ANGLE)
    return np.asarray(np.unique(points), dtype=np.float64)
