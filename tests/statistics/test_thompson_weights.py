"""Thompson's weights against accurate integration: total variation by posterior class."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special

from pullarm.domain.assignment import MICRO
from pullarm.policies.base import Offer
from pullarm.policies.posterior import Posterior
from pullarm.policies.thompson import PreparedThompson, Thompson
from pullarm.statistics.best_arm import probability_best
from tests.posteriors import classes, posterior
from tests.vectors import vector

VECTORS = vector("ts_selection_probs")
CLASSES = list(classes(np.random.default_rng(0), 2))
# Promised are 2e-3 up to 10^5 serves and 1e-2 beyond; measured are 1e-5 on a fresh grid and
# 6e-5 on one that is about to be replaced.
MOST_VARIATION = 3e-4


def accurate(given: Posterior, policy: Thompson, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """P(best) by scipy's incomplete beta, of arms that have a chance.

    An arm without one, whose 1 - 1e-13 quantile another's 1e-13 quantile exceeds, is left out:
    the integral over ten thousand arms would take minutes.
    """
    alpha = policy.prior_alpha + given.rewards_micro[rows] / MICRO
    beta = policy.prior_beta + (given.serves_micro - given.rewards_micro)[rows] / MICRO
    reach = special.betainccinv(alpha, beta, 1e-13)
    chance = reach >= special.betaincinv(alpha, beta, 1e-13).max()
    probabilities = np.zeros(len(rows))
    probabilities[chance] = probability_best(alpha[chance], beta[chance])
    return probabilities


def accurate_of_many(
    given: Posterior, policy: Thompson, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """P(best) by the trapezoid rule on 10,001 angles, once for all arms of the same sums.

    Of M such arms with CDF F, one is the best with 1 / M of the integral of d(F^M) times what
    the others' CDFs multiply to.
    """
    sums = np.stack((given.rewards_micro[rows], given.serves_micro[rows]), axis=1)
    kinds, kind_of, counts = np.unique(sums, axis=0, return_inverse=True, return_counts=True)
    alpha = policy.prior_alpha + kinds[:, 0] / MICRO
    beta = policy.prior_beta + (kinds[:, 1] - kinds[:, 0]) / MICRO
    lowest = special.betaincinv(alpha, beta, 1e-13).max()
    reach = special.betainccinv(alpha, beta, 1e-13)
    chance = reach >= lowest
    first, last = np.arcsin(np.sqrt([lowest, reach.max()])).tolist()
    rates = np.sin(np.linspace(first, last, 10_001)) ** 2
    logs = np.zeros((len(kinds), len(rates)))
    for kind in np.flatnonzero(chance):
        cdf = special.betainc(alpha[kind], beta[kind], rates)
        logs[kind] = counts[kind] * np.log(np.maximum(cdf, 1e-300))
    total = logs.sum(axis=0)
    probabilities = np.zeros(len(kinds))
    for kind in np.flatnonzero(chance):
        powers, others = np.exp(logs[kind]), np.exp(total - logs[kind])
        gained = np.diff(powers) @ (0.5 * (others[1:] + others[:-1]))
        probabilities[kind] = (gained + powers[0] * others[0]) / counts[kind]
    return np.asarray(probabilities[kind_of.ravel()], dtype=np.float64)


def worst(ready: PreparedThompson, policy: Thompson, subsets: list[NDArray[np.int64]]) -> float:
    """The largest total variation over subsets of arms."""
    return max(
        0.5
        * float(
            np.abs(ready.weights(Offer.of(rows)) - accurate(ready.posterior, policy, rows)).sum()
        )
        for rows in subsets
    )


def subsets(
    rng: np.random.Generator, given: Posterior, sizes: tuple[int, ...]
) -> list[NDArray[np.int64]]:
    """Random subsets of each size, and the arms of the highest and of the lowest means."""
    n_arms = given.n_arms
    means = (given.rewards_micro + MICRO) / (given.serves_micro + 2 * MICRO)
    ranked = np.argsort(-means)
    chosen = [np.sort(rng.choice(n_arms, size, replace=False)) for size in sizes if size <= n_arms]
    few = min(20, n_arms)
    return [*chosen, np.sort(ranked[:few]), np.sort(ranked[-few:])]


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_vectors(case: dict[str, list[float]]) -> None:
    alpha, beta = np.array(case["alpha"]), np.array(case["beta"])
    given = posterior(alpha + beta - 2.0, alpha - 1.0)
    policy = Thompson(floor=0.05)
    ready = policy.prepare(given, grid=policy.plan_grid(given, None))
    weights = ready.weights(Offer.of(range(len(alpha))))
    assert weights == pytest.approx(case["scipy_quad"], abs=1e-5)
    mixed = (1.0 - policy.floor) * weights + policy.floor / len(alpha)
    assert mixed == pytest.approx(case["mixed_eps_0.05"], abs=1e-5)


@pytest.mark.parametrize("n_arms", [5, 50, 1000])
@pytest.mark.parametrize("name", CLASSES)
def test_variation_on_a_planned_grid(name: str, n_arms: int) -> None:
    rng = np.random.default_rng(31)
    given = classes(rng, n_arms)[name]
    policy = Thompson()
    ready = policy.prepare(given, grid=policy.plan_grid(given, None))
    assert worst(ready, policy, subsets(rng, given, (2, 2, 3, 5, 20, 100))) < MOST_VARIATION


@pytest.mark.parametrize("name", ["flat", "wide", "click rates", "one to a million"])
def test_variation_of_a_whole_catalogue_of_a_thousand(name: str) -> None:
    given = classes(np.random.default_rng(32), 1000)[name]
    policy = Thompson()
    ready = policy.prepare(given, grid=policy.plan_grid(given, None))
    assert worst(ready, policy, [np.arange(1000)]) < MOST_VARIATION


@pytest.mark.parametrize("name", CLASSES)
def test_variation_among_ten_thousand_arms(name: str) -> None:
    rng = np.random.default_rng(33)
    given = classes(rng, 10_000)[name]
    policy = Thompson()
    ready = policy.prepare(given, grid=policy.plan_grid(given, None))
    assert worst(ready, policy, subsets(rng, given, (2, 20, 300))) < MOST_VARIATION


@pytest.mark.parametrize("size", [1000, 10_000])
@pytest.mark.parametrize("name", ["flat", "wide", "click rates", "ten and a million"])
def test_variation_of_large_parts_of_ten_thousand_arms(name: str, size: int) -> None:
    rng = np.random.default_rng(36)
    given = classes(rng, 10_000)[name]
    policy = Thompson()
    ready = policy.prepare(given, grid=policy.plan_grid(given, None))
    rows = np.sort(rng.choice(10_000, size, replace=False))
    difference = ready.weights(Offer.of(rows)) - accurate_of_many(given, policy, rows)
    assert 0.5 * float(np.abs(difference).sum()) < MOST_VARIATION


@pytest.mark.parametrize("prior", [(0.5, 0.5), (1.0, 0.5), (0.7, 5.0), (2.0, 20.0), (100.0, 900.0)])
def test_variation_with_other_priors(prior: tuple[float, float]) -> None:
    rng = np.random.default_rng(34)
    policy = Thompson(prior_alpha=prior[0], prior_beta=prior[1])
    for given in classes(rng, 60).values():
        ready = policy.prepare(given, grid=policy.plan_grid(given, None))
        assert worst(ready, policy, subsets(rng, given, (2, 5, 20))) < MOST_VARIATION


def test_variation_of_weighted_sums() -> None:
    """As a half-life and delays leave them: from a millionth of a serve up."""
    rng = np.random.default_rng(37)
    serves = 10.0 ** rng.uniform(-6.0, 5.0, 60)
    given = posterior(serves, serves * rng.beta(2.0, 20.0, 60))
    policy = Thompson()
    ready = policy.prepare(given, grid=policy.plan_grid(given, None))
    assert worst(ready, policy, subsets(rng, given, (2, 5, 20))) < MOST_VARIATION


def test_variation_while_arms_mature_on_a_grid_that_is_kept() -> None:
    """Learning at 15 % a step: most steps keep the grid, and rows are rebuilt on it."""
    rng = np.random.default_rng(35)
    policy = Thompson()
    rates = rng.beta(5.0, 45.0, 40)
    serves = rng.integers(0, 30, 40).astype(float)
    given = posterior(serves, rng.binomial(serves.astype(int), rates))
    grid = policy.plan_grid(given, None)
    ready = policy.prepare(given, grid=grid)
    kept = 0
    for _ in range(60):
        more = np.ceil(0.15 * serves * rng.random(40))
        won = rng.binomial(more.astype(int), rates)
        serves += more
        given = posterior(serves, given.rewards_micro / MICRO + won)
        planned = policy.plan_grid(given, grid)
        kept += planned is grid
        grid = planned
        ready = policy.prepare(given, grid=grid, previous=ready)
        assert worst(ready, policy, subsets(rng, given, (2, 10))) < MOST_VARIATION
    assert 40 <= kept < 60
