"""Expected loss and shrunk lifts against mpmath, gbstats and Bayes' rule."""

import math
from typing import Any

import pytest
from scipy.integrate import quad
from scipy.stats import norm

from pullarm.statistics.best_arm import expected_maximum
from pullarm.statistics.expected_loss import of_arms, of_shipping
from pullarm.statistics.ratio import LogLift
from pullarm.statistics.shrinkage import shrunk
from tests.vectors import vector

VECTOR = vector("expected_loss")
NEAR = VECTOR["tolerance"]


@pytest.mark.parametrize("case", VECTOR["beta"], ids=str)
def test_arms(case: dict[str, Any]) -> None:
    alpha, beta = zip(case["arm1"], case["arm2"], strict=True)
    assert expected_maximum(alpha, beta) == pytest.approx(case["E_max"], abs=NEAR)
    assert of_arms(alpha, beta) == pytest.approx(
        [case["expected_loss_choose_1"], case["expected_loss_choose_2"]], abs=NEAR
    )


def test_flat_arms_have_a_closed_form() -> None:
    """The greatest of n uniform rates is n / (n + 1) on average."""
    assert of_arms([1.0] * 9, [1.0] * 9) == pytest.approx([0.4] * 9, abs=NEAR)
    assert of_arms([3.0], [7.0]) == pytest.approx([0.0], abs=NEAR)


@pytest.mark.parametrize("case", VECTOR["normal"], ids=str)
def test_shipping_and_keeping(case: dict[str, float]) -> None:
    mean, deviation = case["mu"], case["sigma"]
    assert of_shipping(mean, deviation) == pytest.approx(case["loss_ship_treatment"], abs=NEAR)
    assert of_shipping(-mean, deviation) == pytest.approx(case["loss_keep_control"], abs=NEAR)


@pytest.mark.parametrize("case", VECTOR["gbstats_get_risk"], ids=str)
def test_gbstats_risk(case: dict[str, Any]) -> None:
    keeping, shipping = case["risk_ctrl_trt"]
    assert of_shipping(case["mu"], case["sigma"]) == pytest.approx(shipping, abs=NEAR)
    assert of_shipping(-case["mu"], case["sigma"]) == pytest.approx(keeping, abs=NEAR)


def test_a_sure_gain_loses_nothing_and_a_bad_deviation_is_refused() -> None:
    assert 0.0 <= of_shipping(1.0, 1e-3) < 1e-12
    with pytest.raises(ValueError, match="deviation must be above 0, not 0"):
        of_shipping(1.0, 0)


def test_a_shrunk_lift_is_the_posterior() -> None:
    """Prior N(0, 0.03^2) times the likelihood of 0.074 with an error of 0.0246, by quadrature."""
    found = shrunk(LogLift(0.074, 0.0246))

    def posterior(power: int) -> float:
        def weighed(true: float) -> float:
            return float(true**power * norm.pdf(true, 0, 0.03) * norm.pdf(0.074, true, 0.0246))

        return float(quad(weighed, -0.4, 0.4, points=[0.0, 0.074])[0])

    mass, first, second = (posterior(power) for power in (0, 1, 2))
    assert found.value == pytest.approx(first / mass, rel=1e-6)
    assert found.error == pytest.approx(math.sqrt(second / mass - (first / mass) ** 2), rel=1e-6)
    with pytest.raises(ValueError, match="tau must be above 0"):
        shrunk(LogLift(0.1, 0.1), tau=0.0)
