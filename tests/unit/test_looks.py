"""When experiments are judged, and how much of their data has matured by then."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pullarm.domain.experiment import Experiment, PolicySpec, State
from pullarm.domain.looks import due_at, last_day, matured_day, next_due, unjudged
from pullarm.domain.verdict import Criteria
from tests.builders import experiment

START = datetime(2026, 3, 1, 6, tzinfo=UTC)


def running(*, time_zone: str = "UTC", baseline: str = "control") -> Experiment:
    base = experiment("thompson", "control")
    criteria = Criteria(time_zone=time_zone, baseline=baseline)
    return replace(base, spec=replace(base.spec, decision=criteria), started_at=START)


@pytest.mark.parametrize(
    ("now", "zone", "due"),
    [
        ("2026-03-01T09:00", "UTC", "2026-03-01T09:00"),
        ("2026-03-01T08:59", "UTC", "2026-02-28T09:00"),
        ("2026-03-28T10:00", "Europe/Berlin", "2026-03-28T08:00"),
        ("2026-03-29T06:59", "Europe/Berlin", "2026-03-28T08:00"),
        ("2026-03-29T07:00", "Europe/Berlin", "2026-03-29T07:00"),
        ("2026-03-01T00:00", "Asia/Tokyo", "2026-03-01T00:00"),
    ],
)
def test_nine_oclock_is_where_the_experiment_is(now: str, zone: str, due: str) -> None:
    """Clocks in Berlin are put forward on 29 March 2026."""
    found = due_at(datetime.fromisoformat(now).replace(tzinfo=UTC), zone)
    assert found == datetime.fromisoformat(due).replace(tzinfo=UTC)


def test_day_matures_with_the_window_and_the_grace_of_its_last_reward() -> None:
    one = running()
    days = [
        matured_day(one, START, START + timedelta(hours=hours))
        for hours in (0, 48, 49, 72.9, 73, 25 + 24 * 30)
    ]
    assert days == [0, 0, 1, 1, 2, 30]
    stopped = replace(one, state=State.STOPPED, end_at=START + timedelta(hours=30))
    assert matured_day(stopped, START, START + timedelta(days=30)) == 2


def test_last_look_is_by_the_plan() -> None:
    one = running()
    spec = one.spec
    planned = [
        spec,
        replace(spec, duration_days=9.5),
        replace(spec, duration_days=30.0),
        replace(spec, end_at=START + timedelta(days=8)),
        replace(spec, duration_days=0.2),
    ]
    assert [last_day(replace(one, spec=each), START) for each in planned] == [14, 10, 14, 8, 1]
    # A stop by hand is no plan: else whoever stops would spend what is left.
    stopped = replace(one, state=State.STOPPED, end_at=START + timedelta(days=3))
    assert last_day(stopped, START) == 14


def test_next_look_is_at_nine_after_another_day_has_matured() -> None:
    assert next_due(running(), START, 0) == datetime(2026, 3, 3, 9, tzinfo=UTC)  # from 7 on
    assert next_due(running(), START + timedelta(hours=3), 0) == datetime(2026, 3, 4, 9, tzinfo=UTC)
    assert next_due(running(), START + timedelta(hours=2), 0) == datetime(2026, 3, 3, 9, tzinfo=UTC)
    berlin = running(time_zone="Europe/Berlin")
    assert next_due(berlin, datetime(2026, 3, 27, 6, 30, tzinfo=UTC), 0) == datetime(
        2026, 3, 30, 7, tzinfo=UTC
    )


def test_without_a_baseline_or_another_policy_there_is_nothing_to_judge() -> None:
    assert unjudged(running()) == ""
    assert "baseline is ucb" in unjudged(running(baseline="ucb"))
    alone = running()
    spec = replace(alone.spec, policies=(PolicySpec(name="control"),))
    assert "no policy but the baseline" in unjudged(replace(alone, spec=spec))
