"""Variation between cohorts against the reference, and the noise it takes out."""

import numpy as np
import pytest

from pullarm.statistics.cohorts import variation
from tests.vectors import vector

VECTOR = vector("fairness_cv")


def test_vector() -> None:
    found = variation(VECTOR["rates"], VECTOR["se"])
    assert [found.naive, found.corrected, found.q, found.p] == pytest.approx(
        [VECTOR[name] for name in ("cv_naive", "cv_corrected", "Q", "p")], abs=VECTOR["tolerance"]
    )


def test_equal_cohorts_differ_by_noise_alone() -> None:
    """2,000 times five cohorts of 2,000 impressions at 0.12, three times the binomial variance."""
    rng = np.random.default_rng(12)
    error = np.sqrt(3.0 * 0.12 * 0.88 / 2_000)
    found = [
        variation(0.12 + error * rng.standard_normal(5), np.full(5, error)) for _ in range(2_000)
    ]
    assert np.mean([each.naive for each in found]) == pytest.approx(0.099, abs=0.005)
    assert np.mean([each.corrected for each in found]) == pytest.approx(0.031, abs=0.005)
    assert np.mean([each.p < 0.05 for each in found]) == pytest.approx(0.05, abs=0.015)


def test_what_differs_much_stays() -> None:
    found = variation([0.1, 0.2], [0.001, 0.001])
    assert found.corrected == pytest.approx(found.naive, rel=1e-3)
    assert found.p < 1e-9


@pytest.mark.parametrize(
    ("rates", "errors", "problem"),
    [
        ([0.1], [0.1], "a number for each cohort"),
        ([0.1, 0.2], [0.1], "a number for each cohort"),
        ([0.0, 0.0], [0.1, 0.1], "mean rate and the errors must be above 0"),
        ([0.1, 0.1], [0.1, 0.0], "mean rate and the errors must be above 0"),
    ],
)
def test_bad_numbers_are_refused(rates: list[float], errors: list[float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        variation(rates, errors)
