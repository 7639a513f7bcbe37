"""Serving's figures by experiment, policy and minute."""

from pullarm.domain.decision import NO_EXPERIMENT, NO_POLICY, RewardStatus
from pullarm.statistics.sketch import LatencySketch
from serving.counters import Counters

MINUTE_MS = 60_000


def test_a_minute_holds_calls_errors_and_what_was_slow() -> None:
    counters = Counters("serving-0-life")
    for took_ms, error in ((5.0, False), (100.0, False), (110.0, False), (130.0, True)):
        counters.record({(7, 2): 1}, 3 * MINUTE_MS + 1, took_ms, error=error)
    (minute,) = counters.take()
    assert (minute.experiment, minute.policy, minute.minute) == (7, 2, 3)
    assert (minute.calls, minute.errors, minute.over_100ms, minute.over_120ms) == (4, 1, 2, 1)
    assert LatencySketch(minute.sketch).quantile(0.0) is not None
    assert sum(minute.sketch.values()) == 4


def test_a_call_of_many_units_is_one_for_each() -> None:
    counters = Counters("serving-0-life")
    counters.record({(7, 2): 60, (7, 3): 40}, 0, 130.0, error=False)
    counters.record({(7, 3): 5}, 0, 1.0, error=True)
    two, three = counters.take()
    assert (two.policy, two.calls, two.errors, two.over_120ms) == (2, 60, 0, 60)
    assert (three.policy, three.calls, three.errors, three.over_120ms) == (3, 45, 5, 40)
    assert (sum(two.sketch.values()), sorted(three.sketch.values())) == (60, [5, 40])


def test_reports_are_absolute_and_only_of_what_changed() -> None:
    counters = Counters("serving-0-life")
    counters.record({(7, 2): 1}, 0, 1.0, error=False)
    counters.record({(7, 3): 1}, 0, 1.0, error=False)
    first = counters.take()
    counters.record({(7, 2): 1}, 1, 1.0, error=False)
    (second,) = counters.take()
    assert {m.policy: m.calls for m in first} == {2: 1, 3: 1}
    assert (second.policy, second.calls) == (2, 2)
    assert second.sequence > first[0].sequence
    assert counters.take() == []


def test_minutes_long_past_are_forgotten_only_after_they_were_sent() -> None:
    counters = Counters("serving-0-life")
    counters.record({(7, 2): 1}, 0, 1.0, error=False)
    counters.record({(7, 2): 1}, 10 * MINUTE_MS, 1.0, error=False)
    assert [m.minute for m in counters.take()] == [0, 10]
    counters.record({(7, 2): 1}, 0, 1.0, error=False)
    assert [(m.minute, m.calls) for m in counters.take()] == [(0, 1)]


def test_rewards_are_counted_beside_calls_and_the_refused_ones_by_status() -> None:
    counters = Counters("serving-0-life")
    late, future = RewardStatus.LATE, RewardStatus.IN_FUTURE
    counters.record({(7, 2): 1}, 0, 1.0, error=False)
    for status in (RewardStatus.ACCEPTED, late, future, future):
        counters.record_reward(7, 2, 59_999, status)
    counters.record_reward(NO_EXPERIMENT, NO_POLICY, 60_000, RewardStatus.FORGED_ID)
    of_seven, of_none = counters.take()
    assert (of_seven.calls, of_seven.rewards, of_seven.refused) == (1, 4, {future: 2})
    assert (of_none.experiment, of_none.minute, of_none.calls) == (NO_EXPERIMENT, 1, 0)
    assert (of_none.rewards, of_none.refused) == (1, {RewardStatus.FORGED_ID: 1})
    counters.record_reward(7, 2, 0, future)
    (again,) = counters.take()
    assert (again.calls, again.rewards, again.refused) == (1, 5, {future: 3})
    assert counters.rewards == {RewardStatus.ACCEPTED: 1, late: 1, future: 3, 6: 1}
    assert counters.calls({7: "exp_7"}).keys() == {("exp_7", "thompson")}, "rewards are no calls"
    assert counters.latencies().keys() == {"thompson"}
