"""Rates of arms whose traffic depended on their own rewards: unbiased, with errors that hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pullarm.statistics.mixture import narrowest_spread, reach

LEAST_SUCCESSES = 50
"""Before an arm has so many, its sequence misses more often than it says."""
Ends = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Of intervals, the lower and the upper ones."""
NARROWEST_AT = 5_000
"""Decisions at which a sequence is narrowest."""


def scores(
    arms: ArrayLike, rewards: ArrayLike, propensities: ArrayLike, means: ArrayLike
) -> NDArray[np.float64]:
    """What each decision says about each arm: G = mean + 1{arm taken} (reward - mean) / propensity.

    Args:
        arms: (n_decisions,) the number of the arm taken.
        rewards: (n_decisions,).
        propensities: (n_decisions, n_arms) with which each arm would have been taken; 0 for arms not offered.
        means: (n_decisions, n_arms) any guess of each arm's mean made from *earlier* decisions only.

    Returns:
        (n_decisions, n_arms); an arm not offered has its guess, to be given weight 0.

    Raises:
        ValueError: if an arm was taken whose propensity is not above 0.

    Source: Hadad, Hirshberg, Zhan, Wager and Athey, "Confidence intervals for policy evaluation in adaptive
    experiments", PNAS 118 (2021), arXiv 1911.02768: the unbiased scoring rule.
    """
    guesses, offered = np.array(means, dtype=np.float64), np.asarray(propensities, dtype=np.float64)
    taken = np.arange(len(guesses)), np.asarray(arms, dtype=np.int64)
    if not (offered[taken] > 0.0).all():
        raise ValueError("propensities of arms that were taken must be above 0")
    guesses[taken] += (np.asarray(rewards, dtype=np.float64) - guesses[taken]) / offered[taken]
    return guesses


@dataclass(frozen=True, slots=True)
class Sums:
    """Weighted sums of scores of some arms; those of batches add up.

    As weights take sqrt(propensity), which Hadad et al. call constant allocation: with a floor on the propensities
    their two-point weights reduce to it. 1 is unbiased and wider, 0 leaves a decision out (the arm was not offered).
    """

    n: int
    """Decisions."""
    first: NDArray[np.float64]
    """(2 n_arms,) sums of u = (weights, weights * scores)."""
    second: NDArray[np.float64]
    """(2 n_arms, 2 n_arms) sums of u u^T: what contrasts of arms need, since decisions are shared."""

    @classmethod
    def of(cls, scores: ArrayLike, weights: ArrayLike) -> Self:
        """The sums of a batch: scores and weights are (n_decisions, n_arms)."""
        factors = np.asarray(weights, dtype=np.float64)
        terms = np.hstack([factors, factors * np.asarray(scores, dtype=np.float64)])
        return cls(len(terms), terms.sum(axis=0), terms.T @ terms)

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.n + other.n, self.first + other.first, self.second + other.second)

    @property
    def means(self) -> NDArray[np.float64]:
        """(n_arms,) sum of weight * score / sum of weights; nan where no decision has weight."""
        weight, value = np.split(self.first, 2)
        return np.divide(value, weight, out=np.full_like(value, math.nan), where=weight > 0.0)

    @property
    def covariance(self) -> NDArray[np.float64]:
        """(n_arms, n_arms) of the means: sums of products of weight (score - mean) / sum of weights."""
        arms = len(self.first) // 2
        # A mean's influence is linear in u: (weight * score - mean * weight) / sum of weights.
        linear = np.vstack([-np.diag(self.means), np.eye(arms)])
        total = self.first[:arms]
        scaled = np.divide(linear, total, out=np.full_like(linear, math.nan), where=total > 0.0)
        return scaled.T @ self.second @ scaled

    @property
    def errors(self) -> NDArray[np.float64]:
        """(n_arms,) standard errors of the means."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))

    def contrast(self, arm: int, other: int) -> tuple[float, float]:
        """By how much one arm's mean exceeds another's, and the standard error of that."""
        covariance = self.covariance
        square = covariance[arm, arm] + covariance[other, other] - 2.0 * covariance[arm, other]
        return float(self.means[arm] - self.means[other]), math.sqrt(max(square, 0.0))


def interval(mean: ArrayLike, error: ArrayLike, *, alpha: float) -> Ends:
    """The two-sided intervals of confidence 1 - alpha for one look at means or contrasts of any shape."""
    return _around(mean, _quantile(alpha) * np.asarray(error, dtype=np.float64))


def sequence(mean: ArrayLike, error: ArrayLike, n: ArrayLike, *, alpha: float) -> Ends:
    """The intervals that hold at all looks at once, from `LEAST_SUCCESSES` on; about 1.6 times as wide.

    Narrowest at 5,000 decisions. n is the number of decisions behind each mean or contrast.

    Source: Waudby-Smith et al. (arXiv 2103.06476), the sequence for martingale differences; see `mixture.radius`.
    """
    # tau is the narrowest one of the error as it would be at NARROWEST_AT, so that error cancels out.
    spread = narrowest_spread(alpha) * np.asarray(n) / NARROWEST_AT
    return _around(mean, np.asarray(error, dtype=np.float64) * reach(spread, alpha=alpha))


def _around(mean: ArrayLike, half: NDArray[np.float64]) -> Ends:
    means = np.asarray(mean, dtype=np.float64)
    return means - half, means + half


@cache
def _quantile(alpha: float) -> float:
    return NormalDist().inv_cdf(1.0 - alpha / 2.0)
