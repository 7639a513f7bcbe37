"""E-values and families of tests that start anew."""

import math

import numpy as np
import pytest

from pullarm.statistics.e_values import log_mean, p_values, threshold
from pullarm.statistics.restarts import Schedule

HOUR, DAY = 3_600, 86_400
HOURLY_AND_DAILY = Schedule(14 * DAY, (HOUR, DAY))


def test_p_values_never_rise_and_are_at_most_one() -> None:
    found = p_values([-math.inf, math.log(4.0), 0.0, math.log(8.0), -3.0])
    assert found == pytest.approx([1.0, 0.25, 0.25, 0.125, 0.125])


def test_the_mean_leaves_idle_what_has_no_weight() -> None:
    assert math.exp(log_mean([math.log(10.0)], [0.2])) == pytest.approx(0.2 * 10.0 + 0.8)
    assert math.exp(log_mean([-math.inf, -math.inf], [0.5, 0.3])) == pytest.approx(0.2)
    assert log_mean([-math.inf], [1.0]) == -math.inf
    # Huge evidence does not overflow.
    assert log_mean([5_000.0, 0.0], [0.5, 0.5]) == pytest.approx(5_000.0 - math.log(2.0))
    assert log_mean(np.zeros((3, 2)), [0.5, 0.5]) == pytest.approx([0.0, 0.0, 0.0])


@pytest.mark.parametrize("weights", [[0.6, 0.6], [-0.1, 0.5]])
def test_weights_that_would_invent_evidence_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="0 or more with a sum of at most 1"):
        log_mean([0.0, 0.0], weights)


def test_a_threshold_is_alpha_s() -> None:
    assert threshold(0.05) == pytest.approx(math.log(20.0))
    with pytest.raises(ValueError, match="alpha must be between 0 and 1"):
        threshold(0.0)


def test_at_the_start_the_first_tests_run() -> None:
    """One is both hourly and daily, so it has both shares."""
    starts, shares = HOURLY_AND_DAILY.begun(0.0)
    assert starts.tolist() == [0]
    assert shares == pytest.approx([0.5 / 336 + 0.5 / 14])


def test_tests_begin_on_time_and_run_on() -> None:
    before, _ = HOURLY_AND_DAILY.begun(DAY - 0.001)
    at, shares = HOURLY_AND_DAILY.begun(DAY)
    assert before.tolist() == list(range(0, DAY, HOUR))
    assert at.tolist() == [*before.tolist(), DAY]
    assert shares[1:24] == pytest.approx(np.full(23, 0.5 / 336))
    assert shares[24] == pytest.approx(0.5 / 336 + 0.5 / 14)


def test_at_the_end_of_a_period_all_shares_are_out_and_the_next_begins_anew() -> None:
    starts, shares = HOURLY_AND_DAILY.begun(14 * DAY - 1.0)
    assert (len(starts), shares.sum()) == (336, pytest.approx(1.0))
    starts, shares = HOURLY_AND_DAILY.begun(14 * DAY + HOUR)
    assert starts.tolist() == [14 * DAY, 14 * DAY + HOUR]
    assert shares == pytest.approx(HOURLY_AND_DAILY.begun(HOUR)[1])


def test_a_rhythm_that_does_not_divide_the_period_still_shares_all_of_it() -> None:
    starts, shares = Schedule(10, (4,)).begun(9.0)
    assert starts.tolist() == [0, 4, 8]
    assert shares == pytest.approx([1 / 3, 1 / 3, 1 / 3])


def test_one_threshold_is_never_later_than_alpha_split() -> None:
    """A single test at its own share of alpha suffices, whatever the others say."""
    _, shares = HOURLY_AND_DAILY.begun(3 * DAY)
    for number in (0, 5, 24, 72):
        log_e = np.full(len(shares), -math.inf)
        log_e[number] = threshold(0.05 * shares[number])
        assert HOURLY_AND_DAILY.log_e(3 * DAY, log_e) >= threshold(0.05)


def test_bad_schedules_and_calls_are_refused() -> None:
    for bad in ((0, (1,)), (10, ()), (10, (5, 0))):
        with pytest.raises(ValueError, match="periods and rhythms must be above 0 s"):
            Schedule(*bad)
    with pytest.raises(ValueError, match="age_s must be 0 or more, not -1"):
        HOURLY_AND_DAILY.begun(-1)
    with pytest.raises(ValueError, match="one value for each of 2 tests"):
        HOURLY_AND_DAILY.log_e(HOUR, [0.0])
