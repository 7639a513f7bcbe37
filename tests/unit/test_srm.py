"""Sample ratio mismatch against scipy and ssrm-test."""

from itertools import accumulate
from typing import Any

import numpy as np
import pytest

from pullarm.statistics.e_values import p_values
from pullarm.statistics.srm import log_bayes_factor, p_value
from tests.vectors import vector

VECTOR = vector("srm")
SEQUENCE = VECTOR["ssrm_test_0_1_5"]
NEAR = VECTOR["tolerance"]


@pytest.mark.parametrize("case", VECTOR["cases"], ids=lambda case: str(case["observed"]))
def test_vectors(case: dict[str, Any]) -> None:
    observed, weights = case["observed"], case["weights"]
    assert p_value(observed, weights) == pytest.approx(case["p"], abs=NEAR)
    evidence = log_bayes_factor(observed, weights, concentration=10_000)
    assert evidence == pytest.approx(case["log_bayes_factor_conc10000"], abs=NEAR)
    assert p_values([evidence]) == pytest.approx([case["sequential_p_single_look"]], abs=NEAR)


def test_a_sequence_of_days() -> None:
    days = accumulate(np.array(day) for day in SEQUENCE["daily_counts"])
    evidence = [log_bayes_factor(day, SEQUENCE["null"], concentration=10_000) for day in days]
    assert np.exp(evidence) == pytest.approx(SEQUENCE["sequential_bayes_factors"], rel=1e-7)
    assert p_values(evidence) == pytest.approx(SEQUENCE["sequential_p"], rel=1e-7)


def test_shares_may_have_any_scale_and_nobody_proves_nothing() -> None:
    assert p_value([30, 70], [3, 7]) == 1.0
    assert p_value([40, 70], [3, 7]) == p_value([40, 70], [0.3, 0.7])
    assert log_bayes_factor([40, 70], [3, 7]) == pytest.approx(
        log_bayes_factor([40, 70], [0.3, 0.7])
    )
    assert p_value([0, 0], [1, 1]) == 1.0
    assert log_bayes_factor([0, 0], [1, 1]) == 0.0


@pytest.mark.parametrize(
    ("users", "shares", "problem"),
    [
        ([5], [1], "a number for each policy"),
        ([5, 6], [1, 1, 1], "a number for each policy"),
        ([5, -6], [1, 1], "users must be 0 or more"),
        ([5, 6], [1, 0], "shares above 0"),
        ([5, float("nan")], [1, 1], "users must be 0 or more"),
    ],
)
def test_bad_numbers_are_refused(users: list[float], shares: list[float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        p_value(users, shares)
    with pytest.raises(ValueError, match=problem):
        log_bayes_factor(users, shares)


def test_a_bad_concentration_is_refused() -> None:
    with pytest.raises(ValueError, match="concentration must be above 0, not 0"):
        log_bayes_factor([5, 6], [1, 1], concentration=0)
