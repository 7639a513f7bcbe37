"""The normal mixture against mpmath's integrals, confseq, gbstats and its own definition."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from pullarm.statistics.mixture import log_e, log_e_above, narrowest, radius
from tests.vectors import vector

VECTOR = vector("asympcs")
NEAR = VECTOR["tolerance"]


@pytest.mark.parametrize("case", VECTOR["B"], ids=str)
def test_e_values_and_radii(case: dict[str, float]) -> None:
    effect, error, tau = case["theta"], case["se"], case["tau"]
    two_sided = float(log_e(effect, error, tau=tau))
    assert math.exp(two_sided) == pytest.approx(case["e_two_sided"], rel=NEAR)
    one_sided = float(log_e_above(effect, error, tau=tau))
    assert math.exp(one_sided) == pytest.approx(case["e_one_sided_H0_theta_le_0"], rel=NEAR)
    for name, alpha in (("05", 0.05), ("01", 0.01)):
        found = float(radius(error, tau=tau, alpha=alpha))
        assert found == pytest.approx(case[f"cs_radius_alpha{name}"], rel=NEAR)


@pytest.mark.parametrize("case", VECTOR["A"], ids=str)
def test_the_asymptotic_sequence_of_a_mean_is_the_same(case: dict[str, float]) -> None:
    """Of a mean with deviation 1, narrowest at n_opt."""
    tau = narrowest(1.0 / math.sqrt(case["n_opt"]), alpha=case["alpha"])
    assert tau**2 == pytest.approx(case["rho2_exact"], rel=NEAR)
    found = float(radius(1.0 / math.sqrt(case["n"]), tau=tau, alpha=case["alpha"]))
    assert found == pytest.approx(case["unit_sd_radius_exact"], rel=NEAR)


@pytest.mark.parametrize("case", VECTOR["confseq_normal_mixture"]["cases"], ids=str)
def test_confseq_s_boundaries(case: dict[str, float]) -> None:
    """Its sum S is effect / error^2 and its variance v is 1 / error^2; rho is 1 / tau^2."""
    error, tau = case["v"] ** -0.5, case["rho"] ** -0.5
    evidence = log_e_above if case["is_one_sided"] else log_e
    found = float(evidence(2.0 * error, error, tau=tau))
    assert found == pytest.approx(case["log_mixture_at_s_2sqrtv"], abs=NEAR)
    at_bound = float(evidence(case["bound"] * error**2, error, tau=tau))
    assert at_bound == pytest.approx(-math.log(case["alpha"]), abs=1e-6)


@pytest.mark.parametrize(("effect", "error", "tau"), [(0.03, 0.02, 0.03), (-0.1, 0.04, 0.1)])
def test_an_e_value_is_the_mean_likelihood_ratio(effect: float, error: float, tau: float) -> None:
    def weighed(true: float) -> float:
        ratio = norm.pdf(effect, true, error) / norm.pdf(effect, 0.0, error)
        return float(ratio * norm.pdf(true, 0.0, tau))

    two_sided = quad(weighed, -10 * tau, 10 * tau)[0]
    assert math.exp(float(log_e(effect, error, tau=tau))) == pytest.approx(two_sided, rel=1e-6)
    one_sided = 2.0 * quad(weighed, 0.0, 10 * tau)[0]
    assert math.exp(float(log_e_above(effect, error, tau=tau))) == pytest.approx(
        one_sided, rel=1e-6
    )


def test_the_sequence_is_what_is_not_refuted() -> None:
    half = float(radius(0.02, tau=0.03, alpha=0.05))
    assert float(log_e(half, 0.02, tau=0.03)) == pytest.approx(math.log(20.0))


def test_the_narrowest_sequence_is_the_narrowest() -> None:
    best = narrowest(0.02, alpha=0.05)
    around = [float(radius(0.02, tau=best * factor, alpha=0.05)) for factor in (0.98, 1.0, 1.02)]
    assert min(around) == around[1]


def test_extremes_stay_finite() -> None:
    found = log_e_above([-9.0, 0.0, 9.0], [1e-4, 1e-9, 1e9], tau=0.1)
    assert np.isfinite(found).all()
    assert found[0] < 0.0


def test_it_is_rarely_passed_under_no_effect_however_often_one_looks() -> None:
    """2,000 walks of 1,000 looks at alpha = 0.05: at most 0.05, with a standard error of 0.005."""
    rng = np.random.default_rng(8)
    information = np.geomspace(100.0, 40_000.0, 1_000)
    steps = np.sqrt(np.diff(information, prepend=0.0))
    effects = (rng.standard_normal((2_000, 1_000)) * steps).cumsum(axis=1) / information
    errors = np.broadcast_to(information**-0.5, effects.shape)
    for evidence in (log_e, log_e_above):
        passed = (evidence(effects, errors, tau=0.05) >= math.log(20.0)).any(axis=1).mean()
        assert 0.01 < passed <= 0.065
    outside = np.abs(effects) > radius(errors, tau=0.05, alpha=0.05)
    assert outside.any(axis=1).mean() <= 0.065


@pytest.mark.parametrize(("error", "tau"), [(0.0, 0.1), (-1.0, 0.1), (1.0, 0.0)])
def test_bad_numbers_are_refused(error: float, tau: float) -> None:
    for evidence in (log_e, log_e_above):
        with pytest.raises(ValueError, match="errors and tau must be above 0"):
            evidence(0.1, error, tau=tau)
    with pytest.raises(ValueError, match="errors and tau must be above 0"):
        radius(error, tau=tau, alpha=0.05)


def test_a_bad_alpha_is_refused() -> None:
    with pytest.raises(ValueError, match="alpha must be between 0 and 1, not 0"):
        radius(1.0, tau=1.0, alpha=0.0)
    with pytest.raises(ValueError, match="alpha between 0 and 1, not 1"):
        narrowest(1.0, alpha=2.0)
