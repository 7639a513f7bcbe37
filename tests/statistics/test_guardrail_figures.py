"""Guardrails that look all the time: healthy policies are left alone, broken ones are found soon."""

import numpy as np
import pytest

from pullarm.statistics.bernoulli import ERRORS, SLOW
from pullarm.statistics.guardrails.drop import EVERY_TWO_DAYS
from pullarm.statistics.ratio import Sums
from tests.statistics.guardrails import (
    CHECKS,
    days_to_a_drop,
    false_drops,
    raised,
    share_trips,
)
from tests.statistics.population import CHECKS_A_DAY, impressions

EVERY_15_MINUTES = range(2, CHECKS, 3)
EVERY_2_HOURS = range(23, CHECKS, 24)
REQUESTS = 83  # in five minutes
ONSET = 5 * CHECKS_A_DAY


def test_the_stream_s_sums_are_those_of_its_users() -> None:
    stream = impressions(np.random.default_rng(3), 20.0, 600, users=500)
    for since, look in ((0, 599), (0, 100), (250, 599)):
        kept = (stream.check >= since) & (stream.check <= look)
        m = np.bincount(stream.user[kept], minlength=500)
        c = np.bincount(stream.user[kept], weights=stream.clicked[kept], minlength=500)
        assert stream.sums([look], since=since) == [Sums.of(m, c)]


def test_equal_policies_are_not_called_worse() -> None:
    """Any of three in 14 days; measured before: 0.022, and 0.976 by points. In 16 runs three would be odd."""
    found = false_drops(20.0, EVERY_15_MINUTES[1::2], range(2_100_000, 2_100_016))
    assert found.ours <= 2 / 16
    assert found.naive >= 0.80


def test_a_drop_is_found_in_days() -> None:
    """10 % from the start, 100 impressions a check; measured before: 0.773 in a day, 0.948 in three. 30 runs."""
    took = days_to_a_drop(100.0, EVERY_15_MINUTES[:CHECKS_A_DAY], range(2_500_000, 2_500_030))
    assert (took <= 1.0).mean() >= 0.60
    assert (took <= 3.0).mean() >= 0.85


def test_a_late_drop_is_found_by_what_started_late() -> None:
    """10 % from day 5, by day 10; measured before: a median of 2.0 days. 8 runs."""
    looks = EVERY_2_HOURS[:120]
    took = days_to_a_drop(
        100.0, looks, range(2_600_000, 2_600_008), from_day=5, schedule=EVERY_TWO_DAYS
    )
    assert 0.0 < np.median(took) <= 3.0


@pytest.mark.parametrize(("share", "limit", "prior"), [(0.005, 0.01, ERRORS), (0.035, 0.05, SLOW)])
def test_a_share_well_below_its_limit_does_not_trip(
    share: float, limit: float, prior: tuple[float, float]
) -> None:
    """30 runs of 14 days; the usual rule, a five-minute window, trips in every one."""
    rng = np.random.default_rng(20240115)
    counts = rng.binomial(REQUESTS, share, (30, CHECKS))
    assert (counts > limit * REQUESTS).any(axis=1).all()
    assert np.isinf(
        share_trips(rng, counts, REQUESTS, EVERY_2_HOURS, at_most=limit, prior=prior)
    ).all()


@pytest.mark.parametrize(
    ("before", "after", "limit", "prior", "minutes"),
    [
        (0.005, 0.10, 0.01, ERRORS, 10),
        (0.005, 0.02, 0.01, ERRORS, 150),
        (0.035, 0.10, 0.05, SLOW, 35),
    ],
)
def test_a_share_that_jumps_on_day_5_is_found_in_minutes(
    before: float, after: float, limit: float, prior: tuple[float, float], minutes: int
) -> None:
    """At the median of 40 runs; measured before, with alpha split: 5, 110 and 25 minutes."""
    share = np.where(np.arange(CHECKS) < ONSET, before, after)
    rng = np.random.default_rng(5)
    counts = rng.binomial(REQUESTS, share, (40, CHECKS))
    looks = range(ONSET, ONSET + 60)
    found = share_trips(rng, counts, REQUESTS, looks, at_most=limit, prior=prior)
    assert 5.0 * (np.median(found) - ONSET + 1.0) <= minutes


def test_a_raised_policy_is_left_alone_where_pooling_over_epochs_would_roll_it_back() -> None:
    """Its rewards are younger than control's: so pooled it is called worse in each of 8 runs, and by us in none."""
    found = [raised(seed) for seed in range(5_000_000, 5_000_008)]
    assert [each.pooled for each in found] == [True] * 8
    assert not any(each.ours for each in found)
