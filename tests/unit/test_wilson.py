"""Wilson's interval against statsmodels."""

from typing import Any

import pytest

from pullarm.statistics import wilson
from tests.vectors import vector

VECTORS = vector("wilson")


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda c: f"{c['k']}/{c['n']} {c['alpha']}")
def test_vectors(case: dict[str, Any]) -> None:
    computed = wilson.interval(case["k"], case["n"], alpha=case["alpha"])
    assert computed == pytest.approx(tuple(case["wilson"]), abs=1e-12)


def test_ends_are_exact_and_nothing_is_known_without_trials() -> None:
    assert wilson.interval(0, 7)[0] == 0.0
    assert wilson.interval(7, 7)[1] == 1.0
    assert wilson.interval(0, 0) == (0.0, 1.0)


def test_fractional_credits_lie_between_whole_ones() -> None:
    low, high = wilson.interval(2.5, 10)
    assert wilson.interval(2, 10)[0] < low < wilson.interval(3, 10)[0]
    assert wilson.interval(2, 10)[1] < high < wilson.interval(3, 10)[1]


@pytest.mark.parametrize(
    ("successes", "trials", "alpha", "problem"),
    [
        (-1, 10, 0.05, "successes must be from 0 to trials"),
        (11, 10, 0.05, "got 11 of 10"),
        (0, float("inf"), 0.05, "successes must be from 0 to trials"),
        (1, 10, 1.0, "alpha must be between 0 and 1, not 1.0"),
    ],
)
def test_bad_numbers_are_refused(
    successes: float, trials: float, alpha: float, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        wilson.interval(successes, trials, alpha=alpha)
