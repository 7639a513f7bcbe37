"""Arm means under adaptive collection against the paper's own code, batch by batch."""

import math

import numpy as np
import pytest

from pullarm.statistics.aipw import Sums, interval, scores, sequence
from tests.vectors import vector

VECTOR = vector("adaptive_aipw")
NEAR = VECTOR["tolerance"]
PROPENSITIES = np.array(VECTOR["propensities"])
SCORES = scores(VECTOR["arms"], VECTOR["rewards"], PROPENSITIES, VECTOR["muhat_lagged"])
WEIGHTS = {
    "uniform": np.ones_like(PROPENSITIES),
    "constant_allocation_sqrt_e": np.sqrt(PROPENSITIES),
}


def test_scores() -> None:
    expected = np.array(VECTOR["scores"])
    assert pytest.approx(expected, abs=NEAR) == SCORES


@pytest.mark.parametrize("name", WEIGHTS)
def test_means_errors_intervals_and_contrasts(name: str) -> None:
    expected, sums = VECTOR["expected"][name], Sums.of(SCORES, WEIGHTS[name])
    assert sums.means == pytest.approx(expected["estimate"], abs=NEAR)
    assert sums.errors == pytest.approx(expected["stderr"], abs=NEAR)
    for arm, half in enumerate(expected["ci_radius"]):
        low, high = interval(sums.means[arm], sums.errors[arm], alpha=0.05)
        assert (low, high) == pytest.approx((sums.means[arm] - half, sums.means[arm] + half))
    difference, error = sums.contrast(1, 0)
    assert difference == pytest.approx(expected["contrast_estimate"][0], abs=NEAR)
    assert error == pytest.approx(expected["contrast_stderr"][0], abs=NEAR)
    assert sums.contrast(0, 1) == pytest.approx((-difference, error))


def test_batches_add_up() -> None:
    weights = WEIGHTS["constant_allocation_sqrt_e"]
    whole = Sums.of(SCORES, weights)
    parts = Sums.of(SCORES[:5], weights[:5]) + Sums.of(SCORES[5:], weights[5:])
    assert parts.n == whole.n == len(SCORES)
    assert parts.means == pytest.approx(whole.means)
    assert parts.covariance == pytest.approx(whole.covariance)


def test_decisions_that_did_not_offer_an_arm_say_nothing_of_it() -> None:
    weights = WEIGHTS["uniform"].copy()
    weights[:4, 0] = 0.0
    found, later = Sums.of(SCORES, weights), Sums.of(SCORES[4:], np.ones((8, 2)))
    assert found.means[0] == pytest.approx(later.means[0])
    assert found.errors[0] == pytest.approx(later.errors[0])
    assert found.means[1] == pytest.approx(Sums.of(SCORES, WEIGHTS["uniform"]).means[1])


def test_an_arm_that_was_never_offered_has_no_mean() -> None:
    found = Sums.of(SCORES, np.array([1.0, 0.0]) * WEIGHTS["uniform"])
    assert math.isnan(found.means[1])
    assert math.isnan(found.errors[1])
    assert found.means[0] == pytest.approx(SCORES[:, 0].mean())
    assert found.errors[0] > 0.0


def test_a_sequence_is_wider_by_half_where_it_is_narrowest() -> None:
    low, high = interval(0.1, 0.004, alpha=0.05)
    widths = {
        n: np.subtract(*sequence(0.1, 0.004, n, alpha=0.05)[::-1]) / (high - low)
        for n in (500, 5_000, 50_000)
    }
    assert widths[5_000] == pytest.approx(1.56, abs=0.02)
    assert widths[500] > widths[5_000] < widths[50_000]


def test_an_arm_taken_against_its_propensity_is_refused() -> None:
    with pytest.raises(ValueError, match="propensities of arms that were taken must be above 0"):
        scores([1], [1.0], [[1.0, 0.0]], [[0.5, 0.5]])
