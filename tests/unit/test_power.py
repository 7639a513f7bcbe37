"""Sample sizes against the normal quantiles, a simulation, and what was measured on users who come again."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from pullarm.statistics.group_sequential import bounds, obrien_fleming, passing
from pullarm.statistics.power import drift, impressions

DAILY = np.arange(7, 15) / 14
ALPHA = 0.025 / 3


@pytest.mark.parametrize(("alpha", "power"), [(0.025, 0.8), (ALPHA, 0.9), (0.05, 0.06)])
def test_one_look_takes_the_sum_of_two_quantiles(alpha: float, power: float) -> None:
    z = NormalDist().inv_cdf
    assert drift([1.0], alpha, power) == pytest.approx(z(1 - alpha) + z(power), abs=1e-9)


def test_bounds_are_passed_as_often_as_alpha_is_spent() -> None:
    spent = obrien_fleming(DAILY, ALPHA)
    found = passing(DAILY, bounds(DAILY, spent))
    assert np.cumsum(found) == pytest.approx(spent, abs=1e-11)
    assert passing([1.0, 2.0], [-30.0, 0.0]) == pytest.approx([1.0, 0.0], abs=1e-9)


def test_the_wanted_power_is_what_a_simulation_finds() -> None:
    effect = drift(DAILY, ALPHA, 0.8)
    one_look = drift([1.0], ALPHA, 0.8)
    assert one_look < effect < 1.05 * one_look
    random, runs = np.random.default_rng(5), 200_000
    steps = np.diff(DAILY, prepend=0.0)
    walks = np.cumsum(random.standard_normal((runs, len(DAILY))) * np.sqrt(steps), axis=1)
    z = walks / np.sqrt(DAILY) + effect * np.sqrt(DAILY)
    found = (z > bounds(DAILY, obrien_fleming(DAILY, ALPHA))).any(axis=1).mean()
    assert found == pytest.approx(0.8, abs=5 * math.sqrt(0.8 * 0.2 / runs))


@pytest.mark.parametrize(
    ("per_policy", "error"), [(8_100, 0.077), (81_000, 0.0246), (323_000, 0.0123)]
)
def test_impressions_have_the_measured_error(per_policy: float, error: float) -> None:
    """Of simulated users who come again, at a rate of 0.12: their design effect is 3.34 after 14 days."""
    lift = 1e-6
    found = impressions(
        0.12, lift, shares=(0.25, 0.25), drift=math.log1p(lift) / error, design_effect=3.34
    )
    assert found / 4 == pytest.approx(per_policy, rel=0.03)


@pytest.mark.parametrize(("lift", "measured"), [(0.03, 0.644), (0.05, 0.970)])
def test_power_is_what_was_measured_on_users_who_come_again(lift: float, measured: float) -> None:
    """40,000 users a policy, looks on days 7 to 14 from 59 % of the information on, alpha 0.025: 2,000 runs."""
    information = np.linspace(0.59, 1.0, 8)
    limits = bounds(information, obrien_fleming(DAILY, 0.025))
    moved = math.log1p(lift) / 0.0123 * np.sqrt(information)
    assert passing(information, limits - moved).sum() == pytest.approx(measured, abs=0.035)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: drift([1.0], 0.05, 0.05),
        lambda: drift([1.0], 0.05, 1.0),
        lambda: impressions(0.0, 0.1, shares=(0.5, 0.5), drift=3.0, design_effect=1.0),
        lambda: impressions(0.9, 0.2, shares=(0.5, 0.5), drift=3.0, design_effect=1.0),
        lambda: impressions(0.1, 0.1, shares=(0.5, 0.0), drift=3.0, design_effect=1.0),
        lambda: passing([1.0], [float("nan")]),
    ],
)
def test_numbers_out_of_range_are_refused(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(ValueError, match="must be"):
        wrong()
