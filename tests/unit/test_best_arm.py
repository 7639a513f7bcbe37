"""The accurate P(best) against mpmath's and scipy's integrals and against closed forms."""

import numpy as np
import pytest

from pullarm.statistics.best_arm import probability_best
from tests.vectors import vector

VECTORS = vector("ts_selection_probs")


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_vectors(case: dict[str, list[float]]) -> None:
    expected = case.get("mpmath", case["scipy_quad"])
    computed = probability_best(case["alpha"], case["beta"])
    assert computed == pytest.approx(expected, abs=VECTORS["tolerance"])


def test_many_equal_arms_share() -> None:
    assert probability_best(np.ones(500), np.ones(500)) == pytest.approx(np.full(500, 1 / 500))


@pytest.mark.parametrize("others", [1, 30, 2000])
def test_power_functions_have_a_closed_form(others: int) -> None:
    """Beta(a, 1) has CDF x^a, so P(best) = a_i / sum a."""
    alpha = np.array([3.0, 0.7, *[0.5] * others])
    assert probability_best(alpha, np.ones(len(alpha))) == pytest.approx(
        alpha / alpha.sum(), abs=1e-9
    )


def test_two_mature_arms_differ_like_normals() -> None:
    """10^6 serves at 0.1, half a standard error of the difference apart: Phi(0.5) = 0.6915."""
    serves, rate = 1e6, 0.1
    gap = 0.5 * np.sqrt(2.0 * rate * (1.0 - rate) / serves)
    successes = serves * np.array([rate, rate + gap])
    probabilities = probability_best(1.0 + successes, 1.0 + serves - successes)
    assert probabilities[1] == pytest.approx(0.69146, abs=2e-4)


def test_one_arm_is_the_best() -> None:
    assert probability_best([0.7], [3.0]).tolist() == [1.0]


@pytest.mark.parametrize(
    ("alpha", "beta", "problem"),
    [
        ([], [], "as long as the arms"),
        ([1.0, 2.0], [1.0], "as long as the arms"),
        ([0.4], [1.0], "at least 0.5"),
        ([np.nan], [1.0], "finite"),
    ],
)
def test_bad_parameters_are_refused(alpha: list[float], beta: list[float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        probability_best(alpha, beta)
