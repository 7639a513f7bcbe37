"""Empirical likelihood with a Cressie-Read divergence: what the log's own reweightings can explain."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from replay.estimators import snips
from replay.intervals import base

_Points = NDArray[np.float64]  # (2, k): weight and weight * reward, weights being 1 on average


class Interval(base.Interval):
    """The least and the largest sum(q w r) over distributions q on the log that are near the uniform one and make
    weights 1.

    Divergence of power -2, so that it is in closed form. One unseen point stands for what the log has not shown: its
    weight is 0 or without limit, its reward the worst for the bound. A point is a group of users: the sums of its
    weights and of its weighted rewards, over the mean number of rounds. Rewards are 0 to 1.

    Source: Karampatziakis, Langford and Mineiro, "Empirical Likelihood for Contextual Bandits" (NeurIPS 2020,
    arXiv 1906.03323), and VowpalWabbit/estimators, which takes rounds for points.
    """

    def __init__(self, estimator: snips.Estimator) -> None:
        super().__init__(estimator)

    def _bounds(self, sums: NDArray[np.float64], alpha: float) -> base.Bounds:
        from scipy.special import stdtrit

        rounds, _, weighted, weights = sums
        points = np.stack([weights, weighted]) / rounds.mean()
        quantile = float(stdtrit(points.shape[1], 1.0 - alpha / 2.0)) ** 2
        lower = min(value - half for value, half in _extremes(points, 0.0, quantile))
        upper = max(value + half for value, half in _extremes(points, 1.0, quantile))
        return base.Bounds(min(max(lower, 0.0), 1.0), min(max(upper, 0.0), 1.0))


def _extremes(points: _Points, reward: float, quantile: float) -> Iterator[tuple[float, float]]:
    """For each unseen point that leaves room: the estimate that makes weights 1 on average, and how far it may move."""
    k = points.shape[1]
    weight, weighted = points
    zero = _beside_zero(points)
    least = 1.0 / k if weight.sum() < k else zero[2]
    allowed = least + quantile / (k + 1)
    rest = weighted - reward * weight
    total = float(rest.sum())
    unlimited = reward + total / k, (float(rest @ rest) - total**2 / k) / (k + 1), 1.0 / k
    for value, spread, needed in (zero, unlimited):
        if needed <= allowed:
            yield value, math.sqrt(max(spread, 0.0) * (allowed - needed))


def _beside_zero(points: _Points) -> tuple[float, float, float]:
    """With an unseen point of weight 0: the value, the variance about the regression, the divergence needed."""
    n = points.shape[1] + 1
    means = points.sum(axis=1) / n
    moments = points @ points.T / n - np.outer(means, means)
    (variance, together), (_, spread) = moments.tolist()
    if variance <= 0.0:  # every weight is 0: no distribution makes them 1 on average
        return 0.0, 0.0, math.inf
    missing = 1.0 - float(means[0])
    slope = together / variance
    return float(means[1]) + missing * slope, spread - together * slope, missing**2 / variance
