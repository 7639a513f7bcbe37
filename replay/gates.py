"""Whether a log can say anything about a policy: weights, support and the honesty of its propensities."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Self

import numpy as np
from numpy.typing import NDArray

from replay.estimators.base import Rounds
from replay.log import Candidates

LEAST_OF_AN_ARM = 100
"""Choices in effect, (sum 1/p)^2 / sum 1/p^2, from which on an arm's calibration is judged: with fewer, sums of 1/p are
far from normal, and too small more often than not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What estimates must meet; the defaults are those of the statistics design, section 8."""

    least_propensity: float = 1e-4
    """Of the actions taken that the target would take more often."""
    mean_weight_errors: float = 3.0
    """How many standard errors the mean weight may lie off 1."""
    effective_rounds: float = 1_000.0
    effective_share: float = 0.01
    most_of_one: float = 0.05
    """Of the sum of weights, the largest share that one round may have."""
    calibration_p: float = 0.001


STANDARD = Gates()

WEIGHT_EDGES = tuple(10.0 ** (exponent / 4) for exponent in range(-12, 13))
"""Of the histogram of weights: quarters of a power of ten, from 0.001 to 1,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What there is to know about the weights of a log, and why there can be no estimate, if so."""

    rounds: int
    mean_weight: float
    max_weight: float
    max_weight_share: float
    effective_rounds: float
    """(sum w)^2 / sum w^2."""
    least_propensity: float
    """Of the actions taken that the target would take more often; 1 if there are none."""
    weights: tuple[int, ...]
    """How many weights lie between each two of `WEIGHT_EDGES`; those beyond are with the outermost."""
    calibration_p: float | None
    """The smallest p-value of any arm times their number; None where it is not known what was offered."""
    reasons: tuple[str, ...]

    @property
    def estimable(self) -> bool:
        """Whether every gate holds."""
        return not self.reasons


class Diagnostics:
    """Sums of weights and, for each arm, of 1 / propensity, which should come to as often as it was offered.

    That holds of any logging policy, fixed or learning, that could choose whatever was offered, and needs the
    propensities of chosen actions only: an arm's sum
    is off by a martingale of variance (1 - propensity) / propensity^2 a choice.
    """

    def __init__(self, *, n_arms: int) -> None:
        self._weights = np.zeros(3)  # n, sum w, sum w^2
        self._histogram = np.zeros(len(WEIGHT_EDGES) - 1, dtype=np.int64)
        self._largest = 0.0
        self._least = 1.0
        self._arms = np.zeros((3, n_arms))  # offers, sum 1 / p, its variance
        self._offers_known = True

    def add(self, rounds: Rounds, action: NDArray[np.int32], candidates: Candidates | None) -> None:
        """Take in a batch of n rounds with the arm taken, (n,), and what it was taken from, if known."""
        weight = rounds.weight
        self._weights += np.array([len(weight), weight.sum(), np.square(weight).sum()])
        self._histogram += _counted(weight)
        self._largest = max(self._largest, float(weight.max(initial=0.0)))
        reached = rounds.propensity[rounds.target > rounds.propensity]
        self._least = min(self._least, float(reached.min(initial=1.0)))
        if candidates is None:
            self._offers_known = False
            return
        inverse = 1.0 / rounds.propensity
        n_arms = self._arms.shape[1]
        self._arms[0] += np.bincount(candidates.arm, minlength=n_arms)
        for row, term in ((1, inverse), (2, (inverse - 1.0) * inverse)):
            self._arms[row] += np.bincount(action, weights=term, minlength=n_arms)

    def get(self, gates: Gates = STANDARD) -> Findings:
        """The figures, and every gate that does not hold."""
        n, total, squares = self._weights.tolist()
        found = Findings(
            rounds=int(n),
            mean_weight=total / n if n else 0.0,
            max_weight=self._largest,
            max_weight_share=self._largest / total if total else 0.0,
            effective_rounds=total**2 / squares if squares else 0.0,
            least_propensity=self._least,
            weights=tuple(self._histogram.tolist()),
            calibration_p=self._calibration(),
            reasons=(),
        )
        spread = math.sqrt(max(0.0, squares - total**2 / n) / (n - 1.0)) if n > 1.0 else math.inf
        return replace(
            found, reasons=tuple(_reasons(found, gates, spread / math.sqrt(max(n, 1.0))))
        )

    def __add__(self, other: Self) -> Self:
        """Those of both logs together."""
        whole = copy.copy(self)
        whole._weights = self._weights + other._weights
        whole._histogram = self._histogram + other._histogram
        whole._largest = max(self._largest, other._largest)
        whole._least = min(self._least, other._least)
        whole._arms = self._arms + other._arms
        whole._offers_known = self._offers_known and other._offers_known
        return whole

    def _calibration(self) -> float | None:
        offered, inverse, variance = self._arms
        judged = (variance > 0.0) & (inverse**2 >= LEAST_OF_AN_ARM * (variance + inverse))
        if not self._offers_known or not self._weights[0]:
            return None
        if not judged.any():
            return 1.0
        z = np.abs((inverse - offered)[judged]) / np.sqrt(variance[judged])
        return min(1.0, 2.0 * NormalDist().cdf(-float(z.max())) * int(judged.sum()))


def _counted(weight: NDArray[np.float64]) -> NDArray[np.int64]:
    place = np.searchsorted(WEIGHT_EDGES, weight, side="right") - 1
    bins = len(WEIGHT_EDGES) - 1
    return np.bincount(np.clip(place, 0, bins - 1), minlength=bins)


def _reasons(found: Findings, gates: Gates, mean_error: float) -> Iterator[str]:
    n, effective = found.rounds, found.effective_rounds
    if found.least_propensity < gates.least_propensity:
        yield (
            f"an action that the policy would take more often has propensity {found.least_propensity:.3g}, "
            f"below {gates.least_propensity:g}"
        )
    if abs(found.mean_weight - 1.0) > max(gates.mean_weight_errors * mean_error, 1e-9):
        yield (
            f"the mean weight is {found.mean_weight:.4f}, more than {gates.mean_weight_errors:g} standard errors "
            "off 1: the log does not have what the policy would take, or its propensities are wrong"
        )
    least = max(gates.effective_rounds, gates.effective_share * n)
    if effective < least:
        yield f"{n:,} rounds are worth {effective:,.0f} under these weights, fewer than {least:,.0f}"
    if found.max_weight_share > gates.most_of_one:
        yield (
            f"one round has {found.max_weight_share:.1%} of all weight, more than {gates.most_of_one:.0%}"
        )
    if found.calibration_p is not None and found.calibration_p < gates.calibration_p:
        yield (
            "arms were chosen more or less often than their propensities say "
            f"(p = {found.calibration_p:.2g}): they are wrong, or some arms were offered that could not be chosen"
        )
