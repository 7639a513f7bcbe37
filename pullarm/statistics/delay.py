"""How long rewards take, estimated while some of them are still to come.

A reward is only seen if its delay is less than the age of its decision: delays are truncated from the right, and the
plain distribution of those seen is too short while decisions are young. The product-limit estimate in reversed time
takes that out: F(t) is the product over the delays u > t seen of 1 - d(u) / R(u), with d(u) rewards of delay u, and
R(u) those of at most that delay whose decisions are at least so old (Lagakos, Barraj, De Gruttola 1988, "Nonparametric
analysis of truncated survival data, with application to AIDS", Biometrika 75; the estimate itself Lynden-Bell 1971).
With mature decisions only it is the plain distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST = 50
"""So many rewards are needed, of decisions at least as old as the longest delay that anything is said of."""

Doubles = NDArray[np.float64]
Moments = Sequence[int] | NDArray[np.int64]  # milliseconds since 1970


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Delays:
    """A distribution of delays, which jumps at those seen."""

    seen_ms: Doubles  # (n,) ascending
    reached: Doubles  # (n,) the share of rewards with at most that delay, ascending to 1
    areas: Doubles  # (n,) the integral of that share up to that delay

    def mean(self, least_ms: float, greatest_ms: float) -> float:
        """The share of rewards that have come, averaged over ages between these, the second above the first."""
        if least_ms >= self.seen_ms[-1]:
            return 1.0
        return (self._area(greatest_ms) - self._area(least_ms)) / (greatest_ms - least_ms)

    def _area(self, age_ms: float) -> float:
        last = int(np.searchsorted(self.seen_ms, age_ms, "right")) - 1
        if last < 0:
            return 0.0
        return float(self.areas[last] + self.reached[last] * (age_ms - self.seen_ms[last]))


def estimate(decided_ms: Moments, received_ms: Moments, now_ms: int) -> Delays | None:
    """The distribution of the delay from these rewards (n,): when they were decided on, and when they came.

    Of delays that fewer than LEAST rewards had the time for nothing can be said: they are left out, so that the
    estimate of a young experiment is of rewards that come soon, and shares are too high rather than too low. None for
    fewer than LEAST rewards.
    """
    if len(decided_ms) < LEAST:
        return None
    decided = np.asarray(decided_ms, dtype=np.float64)
    delays = np.maximum(0.0, np.asarray(received_ms, dtype=np.float64) - decided)
    ages = np.maximum(delays, now_ms - decided)  # clocks may differ a little
    longest = np.partition(ages, -LEAST)[-LEAST]
    known = delays <= longest
    delays, ages = np.sort(delays[known]), np.sort(ages[known])
    seen, counts = np.unique(delays, return_counts=True)
    at_risk = np.searchsorted(delays, seen, "right") - np.searchsorted(ages, seen, "left")
    # From the longest down: what is left below each delay, and 1 at the longest itself.
    left = np.cumprod((1.0 - counts / at_risk)[::-1])[::-1]
    reached = np.append(left[1:], 1.0)
    areas = np.cumsum(np.append(0.0, reached[:-1] * np.diff(seen)))
    return Delays(seen_ms=seen, reached=reached, areas=areas)
