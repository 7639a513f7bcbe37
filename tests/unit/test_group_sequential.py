"""Group-sequential bounds against ldbounds, gsDesign and spotify-confidence, and in closed form."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from pullarm.statistics.group_sequential import bounds, obrien_fleming
from tests.vectors import vector

VECTOR = vector("gst_bounds")
DAYS = np.arange(7, 15) / 14


@pytest.mark.parametrize("design", VECTOR["designs"].values(), ids=VECTOR["designs"])
def test_reference_designs(design: dict[str, Any]) -> None:
    t, alpha = np.array(design["t"]), design["alpha_one_sided"]
    information = design.get("information", t)
    near = VECTOR["tolerance"]
    found = bounds(information, obrien_fleming(t, alpha))
    assert found == pytest.approx(design["obf_lan_demets"], abs=near)
    assert bounds(information, alpha * t**2) == pytest.approx(design["power_phi2"], abs=near)


def test_the_published_bounds_of_five_looks() -> None:
    t = np.arange(1, 6) / 5
    published = [float(z) for z in VECTOR["known"].split(": ")[1].split()]
    assert bounds(t, obrien_fleming(t, 0.025)) == pytest.approx(published, abs=1.5e-4)


def test_two_looks_as_a_bivariate_normal_has_them() -> None:
    first, second = bounds([1.0, 2.5], [0.01, 0.03])
    assert first == pytest.approx(norm.isf(0.01), abs=1e-12)
    together = multivariate_normal(cov=[[1.0, math.sqrt(0.4)], [math.sqrt(0.4), 1.0]])
    assert together.cdf([first, second]) == pytest.approx(0.97, abs=1e-7)


def test_one_look_is_a_plain_test() -> None:
    assert bounds([42.0], [0.025]) == pytest.approx([norm.isf(0.025)])


def test_a_bound_does_not_depend_on_looks_to_come() -> None:
    information, spent = [3.0, 4.0, 7.0, 7.5], [0.001, 0.002, 0.01, 0.025]
    whole = bounds(information, spent)
    for looks in (1, 2, 3):
        assert bounds(information[:looks], spent[:looks]).tolist() == whole[:looks].tolist()


def test_the_unit_of_information_does_not_matter() -> None:
    spent = obrien_fleming(DAYS, 0.025)
    assert bounds(DAYS, spent) == pytest.approx(bounds(1e5 * DAYS, spent), abs=1e-9)


def test_a_missed_look_leaves_its_alpha_to_the_next() -> None:
    spent = obrien_fleming(DAYS, 0.025)
    kept = [0, 1, 2, 4, 5, 6, 7]
    missed, all_looks = bounds(DAYS[kept], spent[kept]), bounds(DAYS, spent)
    assert missed[:3] == pytest.approx(all_looks[:3])
    assert missed[3] < all_looks[4]


def test_looks_that_learn_nothing_end_as_one_look_with_all_the_alpha() -> None:
    """Also where late rewards cost information."""
    found = bounds([5.0, 5.0, 4.0, 5.0], [0.005, 0.01, 0.02, 0.025])
    assert found == pytest.approx(norm.isf([0.005, 0.01, 0.02, 0.025]), abs=0.02)
    assert (np.diff(found) < 0.0).all()


def test_where_nothing_is_spent_nothing_passes() -> None:
    found = bounds([1.0, 2.0, 3.0], [0.0, 0.01, 0.01])
    assert found == pytest.approx([math.inf, norm.isf(0.01), math.inf])


def test_the_whole_spends_alpha_in_a_simulation() -> None:
    """400,000 random walks: the standard error is 0.00025."""
    rng = np.random.default_rng(3)
    information = np.array([2.0, 3.0, 3.5, 6.0, 9.0])
    steps = np.sqrt(np.diff(information, prepend=0.0))
    z = (rng.standard_normal((400_000, 5)) * steps).cumsum(axis=1) / np.sqrt(information)
    spent = obrien_fleming([0.2, 0.5, 0.6, 0.8, 1.0], 0.025)
    passed = z >= bounds(information, spent)
    for look in range(5):
        assert passed[:, : look + 1].any(axis=1).mean() == pytest.approx(spent[look], abs=0.001)


def test_spending_starts_at_nothing_and_ends_at_alpha() -> None:
    assert obrien_fleming([0.0, 1.0, 1.3], 0.05).tolist() == pytest.approx([0.0, 0.05, 0.05])
    assert (np.diff(obrien_fleming(DAYS, 0.05)) > 0.0).all()


@pytest.mark.parametrize(
    ("information", "spent", "problem"),
    [
        ([], [], "one number a look"),
        ([1.0, 2.0], [0.01], "one number a look"),
        ([0.0, 1.0], [0.01, 0.02], "information must be finite and above 0"),
        ([1.0, math.nan], [0.01, 0.02], "information must be finite and above 0"),
        ([1.0, 2.0], [0.02, 0.01], "spent must not fall"),
        ([1.0, 2.0], [0.02, 1.0], "lie in \\[0, 1\\)"),
        ([1.0], [-0.1], "spent must not fall"),
    ],
)
def test_bad_looks_are_refused(information: list[float], spent: list[float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        bounds(information, spent)


def test_bad_spending_is_refused() -> None:
    with pytest.raises(ValueError, match="t must be 0 or more"):
        obrien_fleming([-0.1], 0.05)
    with pytest.raises(ValueError, match="alpha must be between 0 and 1, not 1"):
        obrien_fleming([0.5], 1.0)
