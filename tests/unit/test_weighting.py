"""Weights by hour, small enough to check by hand."""

from collections.abc import Callable
from fractions import Fraction
from random import Random

import pytest

from pullarm.domain.assignment import MICRO
from pullarm.domain.experiment import POLICY_NUMBERS, Delay, Learning, RewardDefinition, Spec
from pullarm.domain.weighting import (
    HOUR_MS,
    Point,
    Weighting,
    all_reached,
    published,
    step,
    weights,
)
from tests.ledger_events import THOMPSON

_NOW = 1_000
"""The present hour."""


def spec_of(learning: Learning, window_hours: float = 24.0) -> Spec:
    reward = RewardDefinition(window_hours=window_hours)
    return Spec(name="x", policies=(), reward=reward, learning=learning)


def points_of(
    learning: Learning,
    *,
    minute: int = 0,
    first_hour: int = 0,
    window_hours: float = 24.0,
    reached: Callable[[float, float], float] = all_reached,
) -> tuple[Point, ...]:
    now = step(learning, _NOW * HOUR_MS + minute * 60_000)
    assert now is not None
    return weights(spec_of(learning, window_hours), *now, first_hour, reached)


def weighting_of(*points: tuple[int, int, int, int]) -> Weighting:
    return Weighting(
        number=1, as_of_ms=0, until_ms=1, points=tuple(Point(*each) for each in points)
    )


def test_steps_are_hours_but_of_a_delay_distribution_five_minutes() -> None:
    at_ms = 10 * HOUR_MS + 17 * 60_000 + 5
    hour = (10 * HOUR_MS, 11 * HOUR_MS)
    assert step(Learning(), at_ms) is None
    assert step(Learning(half_life_hours=72.0), at_ms) == hour
    assert step(Learning(delay=Delay.AT_CLOSE), at_ms) == hour
    minutes = (10 * HOUR_MS + 15 * 60_000, 10 * HOUR_MS + 20 * 60_000)
    for half_life in (None, 72.0):
        assert step(Learning(delay=Delay.WEIGHTED, half_life_hours=half_life), at_ms) == minutes


def test_half_life_halves_rewards_and_serves_alike() -> None:
    points = points_of(Learning(half_life_hours=2.0), first_hour=_NOW - 4)
    assert points == (
        (0, *[250_000] * 3),
        (_NOW - 3, *[353_553] * 3),
        (_NOW - 2, *[500_000] * 3),
        (_NOW - 1, *[707_107] * 3),
        (_NOW, *[MICRO] * 3),
    )


def test_hours_that_count_less_than_half_a_millionth_are_left_out() -> None:
    points = points_of(Learning(half_life_hours=3.0))
    assert points[0] == (0, 0, 0, 0)
    assert points[1] == (
        _NOW - 62,
        1,
        1,
        1,
    )  # 2 ** -(62 / 3) is 0.60 millionths, and of 63 hours 0.48
    assert points[-1] == (_NOW, MICRO, MICRO, MICRO)


def test_at_close_counts_an_hour_once_the_window_of_its_last_decision_has_closed() -> None:
    """A window of 90 minutes: the hour that ended two hours ago is closed, that which ended one hour ago is not."""
    learning = Learning(delay=Delay.AT_CLOSE)
    closed = ((0, MICRO, MICRO, MICRO), (_NOW - 2, MICRO, 0, 0))
    assert points_of(learning, window_hours=1.5) == closed
    assert points_of(learning, window_hours=1.5, minute=59) == closed
    halved = Learning(delay=Delay.AT_CLOSE, half_life_hours=3.0)
    points = points_of(halved, window_hours=1.5, first_hour=_NOW - 3)
    assert points == (
        (0, 500_000, 500_000, 500_000),
        (_NOW - 2, 629_961, 0, 0),
        (_NOW - 1, 793_701, 0, 0),
        (_NOW, MICRO, 0, 0),
    )


def test_pending_decisions_count_what_is_reached_at_the_ages_of_their_hour() -> None:
    """Rewards take up to two hours, evenly. At 20 past, the step ends at 25 past: the present hour's decisions are up
    to 25 minutes old, those of the hour before 25 to 85."""
    asked: list[tuple[float, float]] = []

    def reached(least_ms: float, greatest_ms: float) -> float:
        asked.append((least_ms / 60_000, greatest_ms / 60_000))
        return min(1.0, (least_ms + greatest_ms) / 2 / (2 * HOUR_MS))

    points = points_of(
        Learning(delay=Delay.WEIGHTED), minute=20, first_hour=_NOW - 3, reached=reached
    )
    assert asked == [(145, 205), (85, 145), (25, 85), (0, 25)]
    assert points == (
        (0, MICRO, MICRO, MICRO),
        (_NOW - 2, MICRO, MICRO, 958_333),
        (_NOW - 1, MICRO, MICRO, 458_333),
        (_NOW, MICRO, MICRO, 104_167),
    )
    both = Learning(delay=Delay.WEIGHTED, half_life_hours=1.0)
    assert points_of(both, minute=20, first_hour=_NOW - 1, reached=reached) == (
        (0, 500_000, 500_000, 229_167),
        (_NOW, MICRO, MICRO, 104_167),
    )


@pytest.mark.parametrize("half_life", [None, 8_760.0])
def test_failures_count_whole_beyond_the_window_though_rewards_once_took_longer(
    half_life: float | None,
) -> None:
    """A window of one hour and an hour of grace: the hour that began three hours ago is closed to rewards."""
    points = points_of(
        Learning(delay=Delay.WEIGHTED, half_life_hours=half_life),
        window_hours=1.0,
        reached=lambda least, greatest: 0.8,
    )
    weighting = weighting_of(*points)
    shares = [weighting.at(_NOW - age) for age in (500, 3, 2, 0)]
    assert [round(each.pending / each.settled, 3) for each in shares] == [1.0, 1.0, 0.8, 0.8]


@pytest.mark.parametrize("first_hour", [_NOW, _NOW + 1, 0])
def test_there_is_a_point_whatever_hours_there_are(first_hour: int) -> None:
    points = points_of(Learning(half_life_hours=8_760.0), first_hour=first_hour)
    assert points[0].hour == 0
    assert points[-1][1:] == (MICRO, MICRO, MICRO)


def test_an_hour_falls_to_the_last_point_not_after_it() -> None:
    weighting = weighting_of((0, 1, 1, 1), (10, 2, 2, 2), (12, 3, 3, 3))
    assert [weighting.at(hour).settled for hour in (-1, 0, 9, 10, 11, 12, 99)] == [
        *(1, 1, 1, 2, 2, 3, 3)
    ]


def test_points_survive_being_stored() -> None:
    weighting = weighting_of((0, 0, 0, 0), (489_000, MICRO, MICRO, 123_456), (2**31 - 1, 1, 1, 0))
    stored = weighting.to_bytes()
    assert len(stored) == 48
    assert Weighting.from_bytes(1, 0, 1, stored) == weighting


def test_of_ucb_only_the_age_counts() -> None:
    """Two serves and a reward of 0.4 count 0.4 and 1.6 times 0.5; for others 0.4 times 0.3 and 1.6 times 0.1."""
    weighting = weighting_of((0, 500_000, 300_000, 100_000))
    assert published(*weighting.sums(POLICY_NUMBERS["ucb"], 7, 2, 400_000)) == (MICRO, 200_000)
    for policy in ("control", "thompson", "egreedy"):
        sums = weighting.sums(POLICY_NUMBERS[policy], 7, 2, 400_000)
        assert published(*sums) == (280_000, 120_000)


def test_a_cell_is_the_exact_weighted_sum_rounded_once() -> None:
    """Against fractions; rewards never exceed serves, and equal the serves where every serve earned 1."""
    random = Random(1)
    for _ in range(300):
        settled = sorted(random.randint(0, MICRO) for _ in range(5))
        points = [(10 * i, MICRO, w, random.randint(0, w)) for i, w in enumerate(settled)]
        weighting = weighting_of(*points)
        hours = {random.randrange(60): random.randint(0, 10**9) for _ in range(6)}
        rewards = {hour: random.randint(0, n * MICRO) for hour, n in hours.items()}
        exact_rewards = exact_failures = Fraction(0)
        sums = [0, 0]
        for hour, n in hours.items():
            point = weighting.at(hour)
            exact_rewards += Fraction(point.settled * rewards[hour], MICRO)
            exact_failures += Fraction(point.pending * (n * MICRO - rewards[hour]), MICRO)
            for place, more in enumerate(weighting.sums(THOMPSON, hour, n, rewards[hour])):
                sums[place] += more
        serves, earned = published(*sums)
        assert abs(earned - exact_rewards) <= Fraction(1, 2)
        assert abs(serves - earned - exact_failures) <= Fraction(1, 2)
        assert earned <= serves
    assert published(5 * MICRO // 2, MICRO // 2) == (4, 3)
    assert published(MICRO // 2 - 1, 0) == (0, 0)
