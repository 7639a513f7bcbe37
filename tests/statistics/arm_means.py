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
from pullarm.statistics.aipw import LEAST_SUCCESSES, Sums, interval, scores, sequence
from tests.posteriors import posterior

BATCH = 100
LOOK_EVERY = 5  # batches
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Coverage:
    """Shares of runs in which an arm's 95 % interval holds its rate, (n_arms,) each."""

    aipw: NDArray[np.float64]
    naive: NDArray[np.float64]
    """Of clicks / serves -+ 1.96 binomial errors."""
    rejected: float
    """Share of runs in which the last arm differs from the first at 0.05, by AIPW."""
    missed: float
    """Share of arms whose AIPW interval misses at some look, one every 500 decisions, from 50 successes on."""
    missed_by_sequence: float
    """The same of the sequence."""


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
    looks = [
        _looks(taken[:, run], clicked[:, run], propensities[:, run], guesses[:, run])
        for run in range(runs)
    ]
    sums = [each[-1] for each in looks]
    half = interval(0.0, 1.0, alpha=ALPHA)[1]
    means, errors = (
        np.array(each) for each in zip(*((s.means, s.errors) for s in sums), strict=True)
    )
    differences = np.array([each.contrast(arms - 1, 0) for each in sums])
    plain, sequences = zip(
        *(_misses(each, clicked[:, run], taken[:, run], rates) for run, each in enumerate(looks)),
        strict=True,
    )
    shares = clicks / serves
    naive = np.sqrt(shares * (1.0 - shares) / serves)
    return Coverage(
        aipw=(np.abs(means - rates) <= half * errors).mean(axis=0),
        naive=(np.abs(shares - rates) <= half * naive).mean(axis=0),
        rejected=float((np.abs(differences[:, 0]) > half * differences[:, 1]).mean()),
        missed=float(np.mean(plain)),
        missed_by_sequence=float(np.mean(sequences)),
    )


def _looks(
    taken: NDArray[np.int64],
    clicked: NDArray[np.bool_],
    propensities: NDArray[np.float64],
    guesses: NDArray[np.float64],
) -> list[Sums]:
    """Of one run, up to each look: (n_batches, BATCH) of decisions, (n_batches, n_arms) of what held in a batch."""
    found: list[Sums] = []
    for start in range(0, len(taken), LOOK_EVERY):
        part = slice(start, start + LOOK_EVERY)
        offered, guessed = (np.repeat(of[part], BATCH, axis=0) for of in (propensities, guesses))
        told = scores(taken[part].ravel(), clicked[part].ravel(), offered, guessed)
        new = Sums.of(told, np.sqrt(offered))
        found.append(found[-1] + new if found else new)
    return found


def _misses(
    looks: list[Sums],
    clicked: NDArray[np.bool_],
    taken: NDArray[np.int64],
    rates: Sequence[float],
) -> tuple[list[bool], list[bool]]:
    """Whether each arm's interval, and its sequence, misses at some look of one run."""
    plain, sequences = [False] * len(rates), [False] * len(rates)
    for number, sums in enumerate(looks, 1):
        until = slice(number * LOOK_EVERY)
        successes = np.bincount(taken[until][clicked[until]], minlength=len(rates))
        means, errors = sums.means.tolist(), sums.errors.tolist()
        for arm in np.flatnonzero(successes >= LEAST_SUCCESSES).tolist():
            once = interval(means[arm], errors[arm], alpha=ALPHA)
            always = sequence(means[arm], errors[arm], sums.n, alpha=ALPHA)
            plain[arm] |= not once[0] <= rates[arm] <= once[1]
            sequences[arm] |= not always[0] <= rates[arm] <= always[1]
    return plain, sequences
