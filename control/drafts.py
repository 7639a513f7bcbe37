"""From untrusted JSON to what an experiment is made of: everything is checked and every problem told at once."""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import TypeVar

from control.arm_list import agreed, read_stated
from control.cohorts import read_cohorts
from control.decision_fields import read_decision
from control.expectations import read_expected
from control.fields import Fields, Problems, shown
from control.guardrail_fields import read_guardrails
from control.rewards import REWARD_FIELDS, read_reward
from control.schedules import SCHEDULE_FIELDS, read_schedule
from control.splits import read_policies
from control.targeting import read_targeting
from pullarm.domain.arms import MAX_ARMS
from pullarm.domain.assignment import BUCKETS
from pullarm.domain.errors import invalid
from pullarm.domain.expected import Expected
from pullarm.domain.experiment import (
    CandidateLog,
    Catalogue,
    Delay,
    Experiment,
    Learning,
    PolicySpec,
    Spec,
    next_state,
)
from pullarm.domain.groups import ALL
from pullarm.domain.ports import Revision
from pullarm.domain.transitions import Plan, edited
from pullarm.lifecycle import KEY, Draft
from pullarm.policies import registry

DEFAULTS = Spec(
    name="",
    policies=tuple(
        PolicySpec(name=name, params=registry.defaults(name))
        for name in ("thompson", "egreedy", "ucb", "control")
    ),
    catalogue=Catalogue.OPEN,
)
"""What an experiment is unless told otherwise."""

_CHANGEABLE = (
    "name",
    "notes",
    "traffic_pct",
    "targeting",
    "group",
    "group_share",
    "default_policy",
    "policies",
    "catalogue",
    "max_arms",
    "learning",
    "learn_slots",
    "log_candidates",
    *SCHEDULE_FIELDS,
    "expected",
    "cohorts",
    "guardrails",
    "decision",
    *REWARD_FIELDS,
)
_FIXED = {
    "key": "is fixed when the experiment is created; create a new one",
    "arms": "change by POST .../arms, and by pause, resume and retire of each",
}
"""What PATCH does not change, and why."""
_CANDIDATE_LOGS = {kind.value: kind for kind in CandidateLog}
_CATALOGUES = {kind.value: kind for kind in Catalogue}
_DELAYS = {delay.value: delay for delay in Delay}
_Part = TypeVar("_Part", Learning, Expected)
_LEARNING = ("delay", "half_life_hours")
_COPY_CHARS = 40  # at most 160 bytes, so that the copy's name is not too long
_HALF_LIFE_HOURS = 1.0, 8_760.0


def read_draft(body: object, now: datetime) -> Draft:
    """A new experiment from a request's JSON; raises InvalidInput with every problem."""
    problems = Problems()
    given = Fields(read_object(body), problems)
    given.only((*_CHANGEABLE, *_FIXED))
    if "name" not in given:
        given.note("name", "is required")
    base = replace(DEFAULTS, catalogue=Catalogue.CLOSED if "arms" in given else DEFAULTS.catalogue)
    spec = _read_spec(given, base, now)
    key = _read_key(given)
    arms = agreed((), read_stated(given), spec, problems)
    problems.raise_if_any()
    return Draft(key=key, spec=spec, arms=arms)


def read_change(
    body: object, current: Spec, now: datetime, started_at: datetime | None = None
) -> Spec:
    """What an experiment becomes: given fields replace the current ones, null brings a default back.

    Policies are merged by name: those listed stay, and keep what is not given of them. Raises InvalidInput with every
    problem.
    """
    raw = read_object(body)
    problems = Problems()
    given = Fields(raw, problems)
    given.only((*_CHANGEABLE, *_FIXED))
    for name, why in _FIXED.items():
        if name in raw:
            given.note(name, why)
    if "name" in raw and raw["name"] is None:
        given.note("name", "must not be null")
    spec = _read_spec(given, _with_defaults(current, raw), now, started_at)
    for name in ("aggregation", "exposure"):
        if getattr(spec.reward, name) is not getattr(current.reward, name):
            given.note(
                f"reward.{name}",
                "is fixed when the experiment is created, because the ledger is folded by it; create a new one",
            )
    problems.raise_if_any()
    return spec


def read_clone(body: object, of: Experiment, now: datetime) -> Draft:
    """A copy of an experiment with its live arms, and with what a request's JSON says otherwise.

    Raises Conflict where there can be none yet, InvalidInput with every problem.
    """
    next_state("clone", of.state)
    raw = read_object(body)
    problems = Problems()
    given = Fields(raw, problems)
    given.only((*_CHANGEABLE, *_FIXED))
    if "arms" in raw:
        given.note("arms", "are those of the original; change them once the copy is there")
    name = f"{of.spec.name[:_COPY_CHARS]} (copy)"
    base = replace(of.spec, name=name, start_at=None, end_at=None)
    spec = _read_spec(given, _with_defaults(base, raw), now)
    key = _read_key(given)
    problems.raise_if_any()
    arms = tuple(
        replace(arm, arm_no=number, version=1) for number, arm in enumerate(of.live(), start=1)
    )
    return Draft(key=key, spec=spec, arms=arms, cloned_from=of.id)


def editing(body: object, now: datetime) -> Plan:
    """Give an experiment what a request's JSON says."""

    def plan(experiment: Experiment) -> Revision | None:
        spec = read_change(body, experiment.spec, now, experiment.started_at)
        return edited(experiment, spec)

    return plan


def read_note(body: object) -> str:
    """Why something is done, from a request's JSON with nothing but `note`; raises InvalidInput with every problem."""
    problems = Problems()
    given = Fields(read_object(body), problems)
    given.only(("note",))
    note = given.text("note", "", limit_bytes=1_000, empty=True)
    problems.raise_if_any()
    return note


def read_object(body: object) -> Mapping[str, object]:
    """The fields of a request's JSON; raises InvalidInput where it is no object."""
    if not isinstance(body, Mapping):
        raise invalid("body", f"must be a JSON object, not {shown(body)}")
    return body


def _with_defaults(current: Spec, raw: Mapping[str, object]) -> Spec:
    """The current specification, with defaults for the fields given as null."""
    reset = {name for name, value in raw.items() if value is None}
    if "duration" in reset:
        reset.add("duration_days")
    base = replace(
        current,
        **{each.name: getattr(DEFAULTS, each.name) for each in fields(Spec) if each.name in reset},
    )
    reward = base.reward
    if "window_hours" in reset:
        reward = replace(reward, window_hours=DEFAULTS.reward.window_hours)
    if "reward_threshold" in reset:
        kinds = [replace(k, threshold=None) if k.name == reward.learns else k for k in reward.kinds]
        reward = replace(reward, kinds=tuple(kinds))
    return replace(
        base,
        reward=reward,
        learning=_unset(base.learning, raw.get("learning"), DEFAULTS.learning),
        expected=_unset(base.expected, raw.get("expected"), DEFAULTS.expected),
    )


def _unset(part: _Part, given: object, defaults: _Part) -> _Part:
    """A part of the specification, with defaults for the fields given as null."""
    names = (
        {name for name, value in given.items() if value is None}
        if isinstance(given, Mapping)
        else ()
    )
    known = [each.name for each in fields(part) if each.name in names]
    return replace(part, **{name: getattr(defaults, name) for name in known})


def _read_spec(
    given: Fields, base: Spec, now: datetime, started_at: datetime | None = None
) -> Spec:
    start_at, end_at, duration_days = read_schedule(given, base, now, started_at)
    policies = read_policies(given, base.policies)
    eligible = dict.fromkeys([*(policy.name for policy in policies), "control"])
    spec = Spec(
        name=given.text("name", base.name, limit_bytes=200, empty="name" not in given),
        notes=given.text("notes", base.notes, limit_bytes=10_000, empty=True, lines=True),
        traffic_pct=_read_traffic(given, base.traffic_pct),
        targeting=read_targeting(given, base.targeting),
        group=_read_group(given, base),
        group_share=_read_group_share(given, base.group_share),
        policies=policies,
        default_policy=given.choice(
            "default_policy", base.default_policy, {name: name for name in eligible}
        ),
        catalogue=given.choice("catalogue", base.catalogue, _CATALOGUES),
        max_arms=given.whole("max_arms", base.max_arms, 1, MAX_ARMS),
        reward=read_reward(given, base.reward),
        learning=_read_learning(given.nested("learning"), base.learning),
        learn_slots=given.whole("learn_slots", base.learn_slots, 1, 100),
        log_candidates=given.choice("log_candidates", base.log_candidates, _CANDIDATE_LOGS),
        cohorts=read_cohorts(given, base.cohorts),
        start_at=start_at,
        end_at=end_at,
        duration_days=duration_days,
        expected=read_expected(given, base.expected),
        guardrails=read_guardrails(given, base.guardrails),
        decision=read_decision(given, base.decision),
    )
    if "default_policy" not in given and spec.default_policy not in eligible:
        given.note(
            "default_policy",
            f"is {spec.default_policy!r}, which is no policy of the experiment any more; "
            f"name one of {', '.join(eligible)}",
        )
    return spec


def _read_traffic(given: Fields, default: float) -> float:
    return given.number(
        "traffic_pct", default, 0.0, 1.0, "is a fraction from 0 to 1: 0.8 means 80 %"
    )


def _read_group(given: Fields, base: Spec) -> str:
    name = given.text("group", base.group, limit_bytes=64, empty=True)
    if name == ALL:
        given.note("group", f"{ALL!r} is every experiment's: it is there for its holdout")
    elif name != base.group and "group_share" not in given:
        given.note(
            "group_share", "is required beside group: its share of the group, 1 for all of it"
        )
    return name


def _read_group_share(given: Fields, default: float) -> float:
    smallest = 1 / BUCKETS
    return given.number("group_share", default, smallest, 1.0, f"must be {smallest:g} to 1")


def _read_learning(given: Fields, base: Learning) -> Learning:
    given.only(_LEARNING)
    half_life = base.half_life_hours
    if "half_life_hours" in given:
        half_life = given.number("half_life_hours", 1.0, *_HALF_LIFE_HOURS)
    return Learning(delay=given.choice("delay", base.delay, _DELAYS), half_life_hours=half_life)


def _read_key(given: Fields) -> str | None:
    if "key" not in given:
        return None
    value = given.raw("key")
    if isinstance(value, str) and KEY.fullmatch(value):
        return value
    given.note(
        "key",
        "must be 1 to 64 lower-case letters, digits, hyphens and underscores, begin with a letter or digit "
        f"and not with exp_, and not be validate; got {shown(value)}",
    )
    return None
