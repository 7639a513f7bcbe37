"""Errors by leaving out one group at a time: small ones by hand, large ones beside the exact sums over users."""

import math
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate
from operator import add

import numpy as np
import pytest
from numpy.typing import NDArray

from pullarm.domain.assignment import MICRO
from pullarm.domain.rollup import GROUPS
from pullarm.statistics.jackknife import GroupSums, log_lift, rate, rates
from pullarm.statistics.ratio import Sums
from pullarm.statistics.ratio import log_lift as exact_log_lift


def sums(m: list[int], c: list[float]) -> GroupSums:
    return GroupSums(np.array(m), np.array([round(each * MICRO) for each in c]))


def test_rate_by_hand() -> None:
    """Impressions 1, 1, 2 with 0, 1, 1 clicks: without each group 2/3, 1/3, 1/2, whose mean is 1/2; the error squared
    is 2/3 of (1/6)^2 + (1/6)^2 = 1/27."""
    found = rate(sums([1, 1, 2], [0, 1, 1]))
    assert found is not None
    assert found.value == 0.5
    assert found.error == pytest.approx(math.sqrt(1 / 27))
    low, high = found.interval
    # As many independent impressions as 1/4 / (1/27) = 6.75, but there are 4: Wilson's interval of 2 in 4.
    assert [low, high] == pytest.approx([0.15, 0.85], abs=0.001)


def test_log_lift_by_hand() -> None:
    """Rates 2/4 over 1.5/4; without each group (2/3)/(1/4), (1/3)/(1/3) and (1/2)/(1/2)."""
    treatment, control = sums([1, 1, 2], [0, 1, 1]), sums([2, 1, 1], [1, 0.5, 0])
    found = log_lift(treatment, control)
    assert found is not None
    assert found.value == pytest.approx(math.log(0.5 / 0.375))
    without = [
        Fraction(2, 3) / Fraction(1, 4),
        Fraction(1, 3) / Fraction(1, 3),
        Fraction(1, 2) / Fraction(1, 2),
    ]
    logs = [math.log(each) for each in without]
    mean = sum(logs) / 3
    assert found.error == pytest.approx(math.sqrt(2 / 3 * sum((x - mean) ** 2 for x in logs)))
    assert found.degrees == 2
    low, high = found.interval()
    reach = 4.302652729911275 * found.error  # t of 2 degrees of freedom
    assert math.log1p(low) == pytest.approx(found.value - reach)
    assert math.log1p(high) == pytest.approx(found.value + reach)
    assert found.lift == pytest.approx(1 / 3)
    back = log_lift(control, treatment)
    assert back is not None
    assert (back.value, back.error) == pytest.approx((-found.value, found.error))


def test_groups_without_impressions_say_nothing() -> None:
    few, many = sums([1, 1, 2], [0, 1, 1]), sums([0, 1, 0, 1, 2, 0], [0, 0, 0, 1, 1, 0])
    assert rate(few) == rate(many)
    for other in (few, many):
        found = log_lift(other, other)
        assert found is None, "the same users on both sides vary together"


def test_parts_add_up() -> None:
    whole = sums([1, 2], [0, 1]) + sums([3, 0], [0.25, 0])
    assert (whole.m.tolist(), whole.c.tolist()) == ([4, 2], [250_000, 1_000_000])


def test_what_cannot_be_told() -> None:
    good = sums([1, 1, 2], [0, 1, 1])
    assert rate(sums([0, 0], [0, 0])) is None
    alone = rate(sums([0, 3], [0, 1]))
    assert alone is not None
    assert alone.value == pytest.approx(1 / 3)
    assert alone.error is None
    assert alone.interval[0] < 0.1
    assert alone.interval[1] > 0.8
    nothing = rate(sums([50, 50], [0, 0]))
    assert nothing is not None
    assert (nothing.error, nothing.interval[0]) == (0.0, 0.0)
    assert nothing.interval[1] > 0.5, "two groups are worth two impressions where nothing varies"
    for poor in (
        sums([3, 0, 0], [1, 0, 0]),
        sums([3, 1, 1], [1, 0, 0]),
        sums([1, 1, 1], [0, 0, 0]),
    ):
        assert log_lift(good, poor) is None
        assert log_lift(poor, good) is None


def _drawn(rng: np.random.Generator, users: int, effect: float) -> NDArray[np.int64]:
    """Impressions and clicks of users, (2, n_users): those of tests/statistics/population.py, over ten days."""
    visits = rng.gamma(0.7, 8.0 / 0.7, users)
    m = rng.poisson(visits)
    return np.array([m, rng.binomial(m, np.minimum(1.0, effect * rng.beta(1.08, 7.92, users)))])


def _grouped(rng: np.random.Generator, who: NDArray[np.int64]) -> GroupSums:
    group = rng.integers(0, GROUPS, who.shape[1])
    m, c = (np.bincount(group, each, GROUPS).astype(np.int64) for each in who)
    return GroupSums(m, c * MICRO)


def test_intervals_cover_as_the_exact_ones_do() -> None:
    """Users with very different visits and click rates, 1,000 a policy, 2,000 times: the true rate is 0.12, and the
    treatment's a tenth higher. Beside the exact errors, the grouped ones are the same but for their own noise."""
    rng = np.random.default_rng(20251122)
    hits, ratios = np.zeros(4), list[tuple[float, float]]()
    runs = 2_000
    for _ in range(runs):
        users = [_drawn(rng, 1_000, effect) for effect in (1.0, 1.1)]
        groups = [_grouped(rng, who) for who in users]
        exact = [Sums.of(who[0], who[1]) for who in users]
        found, lift = rate(groups[0]), log_lift(groups[1], groups[0])
        true_lift = exact_log_lift(exact[1], exact[0])
        assert found is not None
        assert found.error is not None
        assert lift is not None
        assert true_lift is not None
        assert found.value == pytest.approx(exact[0].ratio)
        assert lift.value == pytest.approx(true_lift.value)
        error = math.sqrt(exact[0].variance or 0.0)
        ratios.append((found.error / error, lift.error / true_lift.error))
        low, high = lift.interval()
        exact_low, exact_high = true_lift.interval(1.96)
        hits += [
            found.interval[0] < 0.12 < found.interval[1],
            abs(error) * 1.96 > abs(found.value - 0.12),
            low < 0.1 < high,
            exact_low < 0.1 < exact_high,
        ]
    assert (np.abs(hits / runs - 0.95) < 0.015).all()
    assert np.abs(np.mean(ratios, axis=0) - 1.0).max() < 0.02
    assert 0.04 < np.std(ratios, axis=0).max() < 0.08


def test_one_user_in_two_policies_moves_both_in_one_group() -> None:
    """Who visits both sides alike takes no part in the difference: taken as independent, the error would be larger."""
    rng = np.random.default_rng(7)
    who = _drawn(rng, 1_000, 1.0)
    both = _grouped(rng, who)
    noise = _grouped(rng, _drawn(rng, 50, 1.0))
    together = log_lift(both + noise, both)
    other = replace(both, m=np.roll(both.m, 1), c=np.roll(both.c, 1))
    apart = log_lift(both + noise, other)
    assert together is not None
    assert apart is not None
    assert together.value == pytest.approx(apart.value)
    assert together.error < 0.4 * apart.error


def test_rates_at_once_are_those_one_by_one() -> None:
    several = [
        sums([1, 1, 2], [0, 1, 1]),
        sums([0, 0, 3], [0, 0, 1]),
        sums([0, 0, 0], [0, 0, 0]),
        sums([4, 0, 2], [0, 0, 2]),
    ]
    at_once = GroupSums.of_each(several)
    assert rates(at_once) == [rate(each) for each in several]
    assert rates(at_once.cumulated()) == [rate(each) for each in accumulate(several, add)]
