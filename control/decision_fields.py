"""Reading by what an experiment is judged."""

from collections.abc import Mapping
from dataclasses import fields, replace
from zoneinfo import available_timezones

from control.fields import Fields
from pullarm.domain.experiment import POLICY_NUMBERS
from pullarm.domain.verdict import Criteria

_DEFAULTS = Criteria()
_NAMES = tuple(each.name for each in fields(Criteria))
_BASELINES = {name: name for name in POLICY_NUMBERS}
_LONGEST_DAYS = 365


def read_decision(given: Fields, base: Criteria) -> Criteria:
    """The criteria; what is not given stays as in `base`, null brings a default back."""
    raw = given.raw("decision")
    if isinstance(raw, Mapping):
        unset = {name: getattr(_DEFAULTS, name) for name in _NAMES if raw.get(name, ...) is None}
        base = replace(base, **unset)
    one = given.nested("decision")
    one.only(_NAMES)
    found = Criteria(
        min_uplift=one.number(
            "min_uplift", base.min_uplift, 0.0, 10.0, "must be 0 to 10: 0.03 is 3 %"
        ),
        min_confidence=one.number("min_confidence", base.min_confidence, 0.5, 0.9999),
        significance_level=one.number("significance_level", base.significance_level, 0.0001, 0.5),
        min_window_days=one.whole("min_window_days", base.min_window_days, 1, _LONGEST_DAYS),
        max_experiment_days=one.whole(
            "max_experiment_days", base.max_experiment_days, 1, _LONGEST_DAYS
        ),
        min_events_per_policy=one.whole(
            "min_events_per_policy", base.min_events_per_policy, 2, 1_000_000_000
        ),
        baseline=one.choice("baseline", base.baseline, _BASELINES),
        time_zone=_read_zone(one, base.time_zone),
        automatic_ship=one.flag("automatic_ship", base.automatic_ship),
    )
    if found.min_window_days > found.max_experiment_days:
        one.note(
            "min_window_days",
            f"must not be above max_experiment_days, {found.max_experiment_days}: nothing could be tested",
        )
    return found


def _read_zone(one: Fields, default: str) -> str:
    name = one.text("time_zone", default, limit_bytes=64)
    if name != default and name not in available_timezones():
        one.note(
            "time_zone",
            f"{name!r} is no time zone that is known here; give UTC or such as Europe/Berlin",
        )
        return default
    return name
