"""How often intervals of arms' rates hold when Thompson sampling chose which arms to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pullarm.policies.base import Offer, Prepared
from pullarm.policies.draw import integer_weights
from pullarm.policies.grid import Grid
from pullarm.policies.thompson import Thompson
from pullarm.statistics.aipw import Sums, interval, scores
from tests.posteriors import posterior

BATCH = 100
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Coverage:
    """Shares of runs in which an arm's 95 % interval holds its rate, (n_arms,) each."""

    aipw: NDArray[np.float64]
    naive: NDArray[np.float64]
    """Of clicks / serves -+ 1.96 binomial errors."""
    rejected: float
    """Share of runs in which the last arm differs from the first at 0.05, by AIPW."""


def coverage(
    rates: Sequence[float], *, decisions: int, floor: float, runs: int, seed: int
) -> Coverage:
    """Decisions in batches of 100 by Thompson sampling with a floor, rewards at once; runs are side by side."""
    rng, policy, arms = np.random.default_rng(seed), Thompson(floor=floor), len(rates)
    serves, clicks = np.zeros((runs, arms)), np.zeros((runs, arms))
    shape = decisions // BATCH, runs, arms
    propensities, guesses = np.empty(shape), np.empty(shape)
    taken = np.empty((*shape[:2], BATCH), dtype=np.int64)
    clicked = np.empty(taken.shape, dtype=np.bool_)
    grid: Grid | None = None
    ready: Prepared | None = None
    for batch in range(len(taken)):
        given = posterior(serves.ravel(), clicks.ravel())
        grid = policy.plan_grid(given, grid)
        ready = policy.prepare(given, grid=grid, previous=ready)
        # Any guess from the past keeps the scores unbiased.
        guesses[batch] = (clicks + 1.0) / (serves + 2.0)
        for run in range(runs):
            rows = np.arange(run * arms, (run + 1) * arms)
            weights = integer_weights(ready.weights(Offer.of(rows)), floor).astype(np.float64)
            propensities[batch, run] = weights / weights.sum()
        ends = propensities[batch].cumsum(axis=1)[:, None, :-1]
        taken[batch] = (rng.random((runs, BATCH, 1)) > ends).sum(axis=2)
        clicked[batch] = rng.random((runs, BATCH)) < np.asarray(rates)[taken[batch]]
        place = taken[batch] + arms * np.arange(runs)[:, None]
        serves += np.bincount(place.ravel(), minlength=runs * arms).reshape(runs, arms)
        clicked_at = place[clicked[batch]]
        clicks += np.bincount(clicked_at, minlength=runs * arms).reshape(runs, arms)
    sums = [
        _sums(taken[:, run], clicked[:, run], propensities[:, run], guesses[:, run])
        for run in range(runs)
    ]
    half = interval(0.0, 1.0, alpha=ALPHA)[1]
    means, errors = (
        np.array(each) for each in zip(*((s.means, s.errors) for s in sums), strict=True)
    )
    differences = np.array([each.contrast(arms - 1, 0) for each in sums])
    shares = clicks / serves
    naive = np.sqrt(shares * (1.0 - shares) / serves)
    return Coverage(
        aipw=(np.abs(means - rates) <= half * errors).mean(axis=0),
        naive=(np.abs(shares - rates) <= half * naive).mean(axis=0),
        rejected=float((np.abs(differences[:, 0]) > half * differences[:, 1]).mean()),
    )


def _sums(
    taken: NDArray[np.int64],
    clicked: NDArray[np.bool_],
    propensities: NDArray[np.float64],
    guesses: NDArray[np.float64],
) -> Sums:
    """Of one run: (n_batches, BATCH) of decisions, (n_batches, n_arms) of what held in each batch."""
    offered, guessed = (np.repeat(each, BATCH, axis=0) for each in (propensities, guesses))
    return Sums.of(scores(taken.ravel(), clicked.ravel(), offered, guessed), np.sqrt(offered))
