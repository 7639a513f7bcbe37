"""The probability that a policy is the best, from its rate and that rate's error."""

import pytest

from control.intervals import best_of, relative_error
from pullarm.statistics.ratio import Sums


def test_it_is_the_normal_probability_where_errors_are_small() -> None:
    """0.003 apart with errors of 0.001 each: Phi(0.003 / sqrt(2) / 0.001) = Phi(2.1213) = 0.98305."""
    found = best_of({"thompson": (0.103, 0.001 / 0.103), "control": (0.1, 0.001 / 0.1)})
    assert found["thompson"] == pytest.approx(0.98305, abs=2e-3)
    assert found["thompson"] + found["control"] == pytest.approx(1.0)


def test_errors_are_the_same_in_whatever_unit_rewards_are() -> None:
    """Three users with rewards 1, 0, 1 of one serve each: rate 2/3, variance 3/2 (1/9 + 4/9 + 1/9) / 9 = 1/9."""
    clicks, millionths = Sums.of([1, 1, 1], [1, 0, 1]), Sums.of([1, 1, 1], [1e6, 0, 1e6])
    assert relative_error(clicks) == pytest.approx(0.5)
    assert relative_error(millionths) == pytest.approx(0.5)


def test_equal_policies_share_it() -> None:
    found = best_of(dict.fromkeys(("thompson", "egreedy", "ucb", "control"), (0.2, 0.01)))
    assert list(found.values()) == pytest.approx([0.25] * 4)


@pytest.mark.parametrize(
    "rates",
    [
        {"thompson": (0.1, 0.01)},
        {"thompson": (0.1, 0.01), "control": (None, None)},
        {"thompson": (0.1, 0.01), "control": (0.1, None)},
        {"thompson": (0.1, 0.01), "control": (0.0, 0.0)},
    ],
    ids=["one policy", "no serve", "one user", "no reward"],
)
def test_it_is_not_told_where_it_cannot_be(
    rates: dict[str, tuple[float | None, float | None]],
) -> None:
    assert best_of(rates) == {}
