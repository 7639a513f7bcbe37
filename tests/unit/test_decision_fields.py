"""By what an experiment is judged, as requests say it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from control.drafts import read_change, read_draft
from pullarm.domain.errors import InvalidInput
from pullarm.domain.experiment import Spec
from pullarm.domain.verdict import Criteria

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORIGINAL = {
    "min_uplift": 0.03,
    "min_confidence": 0.95,
    "min_window_days": 7,
    "max_experiment_days": 14,
    "min_events_per_policy": 1000,
    "significance_level": 0.05,
}
"""The original platform's criteria."""


def spec_of(decision: object) -> Spec:
    return read_draft({"name": "x", "decision": decision}, NOW).spec


def test_originals_criteria_are_the_defaults() -> None:
    assert spec_of(ORIGINAL).decision == spec_of({}).decision == Criteria()


def test_stricter_of_the_two_ways_to_say_alpha_holds() -> None:
    assert Criteria().alpha == 0.025
    assert spec_of({"min_confidence": 0.99}).decision.alpha == pytest.approx(0.005)
    assert spec_of({"significance_level": 0.01}).decision.alpha == pytest.approx(0.005)


def test_change_keeps_what_is_not_given_and_null_brings_a_default_back() -> None:
    current = spec_of({"min_uplift": 0.1, "time_zone": "Europe/Berlin", "automatic_ship": True})
    changed = read_change({"decision": {"min_uplift": None, "baseline": "ucb"}}, current, NOW)
    assert changed.decision == replace(current.decision, min_uplift=0.03, baseline="ucb")
    assert read_change({"decision": None}, current, NOW).decision == Criteria()


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({"min_uplift": 3}, None, ""),
        ({"min_uplift": -0.1}, "min_uplift", "0.03 is 3 %"),
        ({"min_confidence": 95}, "min_confidence", "between 0.5 and 0.9999"),
        ({"min_window_days": 7.5}, "min_window_days", "whole number"),
        ({"min_window_days": 15}, "min_window_days", "must not be above max_experiment_days, 14"),
        ({"min_events_per_policy": 1}, "min_events_per_policy", "between 2 and"),
        ({"baseline": "best"}, "baseline", "must be one of control, thompson"),
        ({"time_zone": "Mars/Olympus"}, "time_zone", "'Mars/Olympus' is no time zone"),
        ({"automatic_ship": 1}, "automatic_ship", "must be true or false, not 1"),
        ({"min_uplif": 1}, "min_uplif", "did you mean 'min_uplift'?"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, object], field: str | None, said: str) -> None:
    if field is None:
        spec_of(given)
        return
    with pytest.raises(InvalidInput) as refused:
        spec_of(given)
    (problem,) = refused.value.problems
    assert problem.field == f"decision.{field}"
    assert said in problem.detail
