"""Estimates equal those of Open Bandit Pipeline on the same numbers."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from replay.estimators import clipped_ips, dm, dr, dros, ips, mrdr, sndr, snips, switch_dr
from replay.estimators.base import Estimator, Rounds
from replay.intervals import bootstrap, cressie_read, normal
from replay.intervals.base import standard_error
from tests.open_bandit import RUNS, run
from tests.vectors import vector

LAMBDAS = (1.0, 2.0, 5.0, 10.0, 100.0)


def _of_open_bandit_pipeline(groups: int) -> Iterator[tuple[str, Estimator]]:
    yield "ipw", ips.Estimator(groups=groups)
    yield "snipw", snips.Estimator(groups=groups)
    yield "dm", dm.Estimator(groups=groups)
    yield "dr", dr.Estimator(groups=groups)
    yield "sndr", sndr.Estimator(groups=groups)
    for limit in LAMBDAS:
        yield f"ipw_clip_{limit:.0f}", clipped_ips.Estimator(limit=limit, groups=groups)
        yield f"switch-dr_{limit:.0f}", switch_dr.Estimator(limit=limit, groups=groups)
        yield f"dr-os_{limit:.0f}", dros.Estimator(shrinkage=limit, groups=groups)


@pytest.mark.parametrize("name", RUNS)
def test_estimates_on_the_open_bandit_data(name: str) -> None:
    rounds, reference = run(name)
    for method, estimator in _of_open_bandit_pipeline(len(rounds.user)):
        estimator.add(rounds)
        expected = reference["estimates"][method]
        assert estimator.get() == pytest.approx(expected["value"], abs=1e-9), method
        if not method.startswith(
            "sn"
        ):  # their normaliser is taken for fixed there, which it is not
            found = standard_error(estimator)
            assert found == pytest.approx(expected["se"], rel=1e-4), method


@pytest.mark.parametrize("name", RUNS)
def test_weights_on_the_open_bandit_data(name: str) -> None:
    rounds, reference = run(name)
    assert rounds.weight.sum() == pytest.approx(reference["iw"]["sum"], rel=1e-12)
    assert rounds.weight.max() == pytest.approx(reference["iw"]["max"], rel=1e-12)


@pytest.mark.parametrize("method", [("ipw", ips.Estimator), ("dr", dr.Estimator)])
def test_bootstrap_is_that_of_rounds_where_each_is_a_user(
    method: tuple[str, type[Estimator]],
) -> None:
    rounds, reference = run("bts->bts")
    interval = bootstrap.Interval(method[1](groups=len(rounds.user)))
    interval.add(rounds)
    expected = reference["bootstrap_ci_95_2000"][method[0]]
    found = interval.get(0.05)
    half = (expected["95.0% CI (upper)"] - expected["95.0% CI (lower)"]) / 2
    assert found.lower == pytest.approx(expected["95.0% CI (lower)"], abs=0.15 * half)
    assert found.upper == pytest.approx(expected["95.0% CI (upper)"], abs=0.15 * half)


@pytest.mark.parametrize("name", RUNS)
def test_cressie_read_is_that_of_vowpal_wabbit(name: str) -> None:
    rounds, reference = run(name)
    interval = cressie_read.Interval(snips.Estimator(groups=len(rounds.user)))
    interval.add(rounds)
    assert interval.get(0.05) == pytest.approx(tuple(reference["cressie_read_ci_95"]), abs=1e-9)


def _vector() -> tuple[Rounds, dict[str, Any]]:
    known = vector("ope")
    given = {name: np.array(values) for name, values in known["input"].items()}
    taken = np.arange(len(given["action"])), given["action"]
    rounds = Rounds(
        user=taken[0],
        reward=given["reward"],
        propensity=given["pscore"],
        target=given["pi_e"][taken],
        predicted=given["qhat"][taken],
        value=(given["pi_e"] * given["qhat"]).sum(axis=1),
    )
    return rounds, known


@pytest.mark.parametrize(
    ("name", "estimator"),
    [
        ("IPW", ips.Estimator()),
        ("IPW clip lambda=3", clipped_ips.Estimator(limit=3.0)),
        ("SNIPW", snips.Estimator()),
        ("DM", dm.Estimator()),
        ("DR", dr.Estimator()),
        ("SNDR", sndr.Estimator()),
        ("Switch-DR lambda=3", switch_dr.Estimator(limit=3.0)),
        ("DRos lambda=2", dros.Estimator(shrinkage=2.0)),
        ("DR", mrdr.Estimator()),
    ],
)
def test_estimates_on_twelve_rounds(name: str, estimator: Estimator) -> None:
    rounds, known = _vector()
    estimator.add(rounds)
    assert estimator.get() == pytest.approx(known["expected"][name]["value"], abs=1e-12)


def test_what_the_model_of_mrdr_is_fitted_with() -> None:
    rounds, known = _vector()
    expected = known["expected"]["MRDR sample weights"]["sample_weight"]
    assert mrdr.sample_weight(rounds) == pytest.approx(expected, rel=1e-12)


def test_standard_errors_on_twelve_rounds() -> None:
    rounds, known = _vector()
    expected = known["standard_errors"]
    n = len(rounds.user)
    for estimator, error in (
        (ips.Estimator(), expected["IPW"]),
        (snips.Estimator(), expected["SNIPW_delta"] * math.sqrt(n / (n - 1))),
        (dr.Estimator(), expected["DR"]),
    ):
        estimator.add(rounds)
        assert standard_error(estimator) == pytest.approx(error, rel=1e-9)


def test_a_user_is_one_observation_however_many_rounds_it_has() -> None:
    """Two users with the rewards 1, 1 and 0: means 1 and 0, so the error is that of two numbers.

    Over 3 rounds the mean is 2/3; influences are (2 - 2 * 2/3) / 3 = 2/9 and (0 - 2/3) / 3 = -2/9, and with g / (g -
    1) = 2 the error is sqrt(2 * (4/81 + 4/81)) = 4/9.
    """
    ones = np.ones(3)
    rounds = Rounds(
        user=np.array([5, 5, 9]), reward=np.array([1.0, 1.0, 0.0]), propensity=ones, target=ones
    )
    estimator = ips.Estimator()
    estimator.add(rounds)
    assert standard_error(estimator) == pytest.approx(4 / 9)
    lower, upper = normal.Interval(estimator).get(0.5)
    assert (lower + upper) / 2 == pytest.approx(2 / 3)
    assert upper - lower == pytest.approx(2 * 4 / 9)  # the upper quartile of t with 1 degree is 1
