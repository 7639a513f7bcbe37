"""Drawn frequencies agree with logged propensities, for every policy, by seeded chi-square tests."""

import numpy as np
import pytest
from scipy import special

from pullarm.domain.experiment import POLICY_NUMBERS
from pullarm.policies import registry
from pullarm.policies.draw import Choice, choose
from tests.posteriors import drawn_posterior, prepared

N_ARMS = 12
N_DECISIONS = 20_000
# The seeds are fixed, so this is no rate of false alarms: it says how odd the result may look.
LEAST_P = 1e-3
POLICIES: list[tuple[str, dict[str, str]]] = [
    *((name, {}) for name in POLICY_NUMBERS),
    ("control", {"mode": "uniform"}),
]


def slates(name: str, params: dict[str, str], seed: int, slots: int) -> list[list[Choice]]:
    rng = np.random.default_rng(seed)
    given = drawn_posterior(rng, np.full(N_ARMS, 80.0), np.linspace(0.1, 0.3, N_ARMS))
    policy = registry.build(name, params)
    ready = prepared(policy, given)
    candidates = rng.choice(N_ARMS, 8, replace=False)
    return [
        choose(policy, ready, candidates, slots=slots, uid=rng.bytes(16))
        for _ in range(N_DECISIONS)
    ]


def p_value(observed: np.ndarray, expected: np.ndarray) -> float:
    """Pearson's test; cells expecting fewer than 5 are pooled."""
    small = expected < 5.0
    pooled = np.append(observed[~small], observed[small].sum())
    against = np.append(expected[~small], expected[small].sum())
    kept = against > 0.0
    statistic = ((pooled[kept] - against[kept]) ** 2 / against[kept]).sum()
    return float(special.chdtrc(max(int(kept.sum()) - 1, 1), statistic))


@pytest.mark.parametrize(("name", "params"), POLICIES, ids=str)
def test_the_first_slot_is_drawn_as_logged(name: str, params: dict[str, str]) -> None:
    observed, logged = np.zeros(N_ARMS), np.zeros(N_ARMS)
    for (choice,) in slates(name, params, seed=21, slots=1):
        observed[choice.row] += 1
        logged[choice.row] = choice.propensity
    # Arms too rare to be drawn at all carry what is missing of 1.
    assert 0.99 < logged.sum() < 1.0 + 1e-9
    assert p_value(observed, N_DECISIONS * logged / logged.sum()) > LEAST_P


@pytest.mark.parametrize(("name", "params"), POLICIES, ids=str)
def test_a_later_slot_is_drawn_as_logged_given_the_first(name: str, params: dict[str, str]) -> None:
    observed, logged = np.zeros((N_ARMS, N_ARMS)), np.zeros((N_ARMS, N_ARMS))
    for first, second in slates(name, params, seed=22, slots=2):
        observed[first.row, second.row] += 1
        logged[first.row, second.row] = second.propensity
    for row in np.flatnonzero(observed.sum(axis=1) > 1000):
        expected = observed[row].sum() * logged[row] / logged[row].sum()
        assert p_value(observed[row], expected) > LEAST_P


@pytest.mark.parametrize("name", ["thompson", "egreedy", "ucb"])
def test_inverse_propensities_sum_to_the_number_of_candidates(name: str) -> None:
    """E[1 / p] = 8 candidates, and E[1{i} / p_i] = 1 for each of them: what IPS rests on."""
    inverse = np.array([1.0 / slate[0].propensity for slate in slates(name, {}, 23, 1)])
    error = inverse.std() / np.sqrt(N_DECISIONS)
    assert abs(inverse.mean() - 8.0) < 4.0 * error


def test_the_test_notices_a_wrong_propensity() -> None:
    observed = np.array([5200.0, 4800.0])
    assert p_value(observed, np.array([5000.0, 5000.0])) < LEAST_P
