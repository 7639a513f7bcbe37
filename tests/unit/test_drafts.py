import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from control.drafts import DEFAULTS, read_change, read_draft
from pullarm.domain.errors import InvalidInput
from pullarm.domain.experiment import (
    Aggregation,
    CandidateLog,
    Catalogue,
    Delay,
    Exposure,
    Learning,
    RewardDefinition,
    RewardKind,
    Spec,
)
from pullarm.lifecycle import slug
from tests.control_api import ORIGINAL

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def refusal(reading: Callable[[], object]) -> InvalidInput | None:
    """What reading was refused with, None when it was not."""
    try:
        reading()
    except InvalidInput as refused:
        return refused
    return None


def problems(reading: Callable[[], object]) -> dict[str, str]:
    refused = refusal(reading)
    assert refused is not None
    return {problem.field: problem.detail for problem in refused.problems}


def problems_of(body: object) -> dict[str, str]:
    return problems(lambda: read_draft(body, NOW))


def change_problems(body: object, current: Spec) -> dict[str, str]:
    return problems(lambda: read_change(body, current, NOW))


def spec_of(**fields: object) -> Spec:
    return read_draft({"name": "x", **fields}, NOW).spec


def test_the_original_body_is_taken_verbatim() -> None:
    draft = read_draft(ORIGINAL, NOW)
    assert draft.key is None
    assert draft.arms == ()
    assert draft.spec == replace(
        DEFAULTS,
        name="Bandit Test v1",
        traffic_pct=0.8,
        default_policy="thompson",
        notes="Production bandit experiment",
    )


def test_defaults() -> None:
    spec = spec_of()
    assert [policy.name for policy in spec.policies] == ["thompson", "egreedy", "ucb", "control"]
    assert {policy.weight for policy in spec.policies} == {1.0}
    assert spec.policies[0].params == {"prior_alpha": 1.0, "prior_beta": 1.0, "floor": 0.05}
    assert spec.default_policy == "control"
    assert spec.traffic_pct == 1.0
    assert spec.catalogue is Catalogue.OPEN
    assert spec.max_arms == 1000
    assert spec.reward == RewardDefinition(window_hours=24.0)
    assert spec.learn_slots == 1
    assert spec.duration_days == 14.0


def test_policies_come_as_a_comma_string_as_names_or_as_objects() -> None:
    names = ["thompson", "egreedy", "ucb", "control"]
    objects = [{"name": name, "weight": 1} for name in names]
    assert spec_of(policies="thompson,egreedy, ucb,control") == spec_of(policies=names)
    assert spec_of(policies=names) == spec_of(policies=objects)
    weighted = spec_of(
        policies=[{"name": "egreedy", "weight": 3, "params": {"epsilon": 0.2}}, "control"]
    )
    assert weighted.policies[0].weight == 3.0
    assert weighted.policies[0].params == {"prior_alpha": 1.0, "prior_beta": 1.0, "epsilon": 0.2}


def test_arms_close_the_catalogue_unless_told_otherwise() -> None:
    draft = read_draft({"name": "x", "arms": ["a", {"id": "b", "label": "B"}]}, NOW)
    assert draft.spec.catalogue is Catalogue.CLOSED
    assert [(arm.arm_no, arm.arm_id, arm.label) for arm in draft.arms] == [
        (1, "a", ""),
        (2, "b", "B"),
    ]
    assert spec_of(arms=["a"], catalogue="open").catalogue is Catalogue.OPEN
    assert spec_of(arms=[]).catalogue is Catalogue.CLOSED


def test_the_reward_in_full_and_in_shorthand() -> None:
    full = spec_of(reward={"kinds": [{"name": "reward", "threshold": 4}], "window_hours": 48})
    assert full == spec_of(reward_threshold=4, window_hours=48)
    assert full.reward.kinds == (RewardKind(name="reward", threshold=4.0),)
    two = spec_of(
        reward={"kinds": ["click", "shown"], "learns": "click", "aggregation": "max"}
    ).reward
    assert two.learns == "click"
    assert two.aggregation is Aggregation.MAX
    assert spec_of(reward={"kinds": ["click"]}).reward.learns == "click"
    assert problems_of({"name": "x", "reward": {"kinds": ["click", "shown"]}}) == {
        "reward.learns": "must name the kind that feeds the posterior: click, shown"
    }


def test_every_problem_is_told_at_once() -> None:
    found = problems_of(
        {
            "nmae": "x",
            "traffic_pct": 80,
            "policies": [{"name": "thompson", "params": {"floor": 2}}, "bandit"],
            "default_policy": "ucb",
            "arms": ["a", "a", "b\u0000", "é" * 65, 17],
            "learn_slots": 1.5,
            "window_hours": 0,
            "duration": "14",
            "reward": {"aggregation": "mean", "window_hours": 24},
        }
    )
    assert set(found) == {
        "nmae",
        "name",
        "traffic_pct",
        "policies[0].params",
        "policies[1].name",
        "default_policy",
        "arms[1].id",
        "arms[2].id",
        "arms[3].id",
        "arms[4]",
        "learn_slots",
        "window_hours",
        "duration",
        "reward.aggregation",
    }
    assert found["nmae"] == "is unknown; did you mean 'name'?"
    assert found["traffic_pct"] == "is a fraction from 0 to 1: 0.8 means 80 %; got 80"
    assert found["arms[3].id"] == "is 130 bytes long; the limit is 128"
    assert found["arms[4]"] == "must be text or an object, not 17"
    assert found["default_policy"] == "must be one of thompson, control; got 'ucb'"


@pytest.mark.parametrize(
    ("field", "value", "at"),
    [
        ("traffic_pct", -0.1, "traffic_pct"),
        ("traffic_pct", True, "traffic_pct"),
        ("traffic_pct", math.nan, "traffic_pct"),
        ("traffic_pct", 10**400, "traffic_pct"),
        ("name", " ", "name"),
        ("name", "x" * 201, "name"),
        ("name", "a\u0007", "name"),
        ("name", "\ud800", "name"),
        ("notes", "a\u0000b", "notes"),
        ("key", "Has Spaces", "key"),
        ("key", "exp_abc", "key"),
        ("policies", [], "policies"),
        ("policies", ["thompson", "thompson"], "policies[1].name"),
        ("policies", [{"weight": 1}, "ucb"], "policies[0].name"),
        ("policies", [{"name": "ucb", "weight": 0}], "policies"),
        ("policies", [{"name": "ucb", "weight": -1}, "control"], "policies[0].weight"),
        ("policies", [{"name": "ucb", "weight": math.inf}, "control"], "policies[0].weight"),
        ("policies", [{"name": "ucb", "weight": 1e-9}, "control"], "policies"),
        ("policies", [{"name": "ucb", "params": {"floor": 10**400}}], "policies[0].params.floor"),
        ("policies", [{"name": "ucb", "params": {"flour": 0.1}}], "policies[0].params"),
        ("policies", [{"name": "ucb", "params": [1]}], "policies[0].params"),
        ("policies", "thompson,", "policies[1].name"),
        ("catalogue", "shut", "catalogue"),
        ("max_arms", 10_001, "max_arms"),
        ("arms", "a", "arms"),
        ("arms", [str(number) for number in range(10_001)], "arms"),
        ("arms", [{"label": "A"}], "arms[0].id"),
        ("learning", "weighted", "learning"),
        ("learning", {"delay": "late"}, "learning.delay"),
        ("learning", {"half_life": 24}, "learning.half_life"),
        ("learning", {"half_life_hours": 0.5}, "learning.half_life_hours"),
        ("learning", {"half_life_hours": 8761}, "learning.half_life_hours"),
        ("learn_slots", 0, "learn_slots"),
        ("learn_slots", 101, "learn_slots"),
        ("window_hours", 721, "window_hours"),
        ("duration_days", 0, "duration_days"),
        ("duration_days", 366, "duration_days"),
        ("reward", {"kinds": []}, "reward.kinds"),
        ("reward", {"kinds": [{"name": "a", "threshold": "4"}]}, "reward.kinds[0].threshold"),
        ("reward", {"learns": "click"}, "reward.learns"),
        ("reward", {"treshold": 4}, "reward.treshold"),
        ("reward", 4, "reward"),
    ],
)
def test_a_bad_value_is_a_problem_of_its_field(field: str, value: object, at: str) -> None:
    assert set(problems_of({"name": "x", field: value})) == {at}


def test_two_names_for_one_thing_are_refused() -> None:
    assert set(problems_of({"name": "x", "duration": 1, "duration_days": 1})) == {"duration"}
    both = {"name": "x", "window_hours": 1, "reward": {"window_hours": 1}}
    assert set(problems_of(both)) == {"window_hours"}
    both = {"name": "x", "reward_threshold": 1, "reward": {"kinds": ["reward"]}}
    assert set(problems_of(both)) == {"reward_threshold"}


def test_an_open_catalogue_holds_no_more_than_max_arms() -> None:
    body = {"name": "x", "arms": ["a", "b", "c"], "max_arms": 2}
    assert len(read_draft(body, NOW).arms) == 3  # closed: max_arms is for arms that are found
    assert set(problems_of({**body, "catalogue": "open"})) == {"arms"}


def test_thousands_of_problems_are_cut_short() -> None:
    found = problems_of({"name": "x", "arms": [1] * 10_000})
    assert len(found) == 51
    assert found["more"] == "9950 more problems"


@pytest.mark.parametrize("body", [None, [], "x", 1, True])
def test_a_body_that_is_no_object_is_refused(body: object) -> None:
    assert set(problems_of(body)) == {"body"}


def test_a_change_keeps_what_it_does_not_name() -> None:
    current = spec_of(traffic_pct=0.5, notes="n", reward_threshold=4, window_hours=48)
    assert read_change({}, current, NOW) == current
    assert read_change({"traffic_pct": 0.9}, current, NOW) == replace(current, traffic_pct=0.9)
    shorter = read_change({"window_hours": 12}, current, NOW).reward
    assert shorter == replace(current.reward, window_hours=12.0)


def test_null_in_a_change_brings_the_default_back() -> None:
    current = spec_of(traffic_pct=0.5, reward_threshold=4, window_hours=48, duration=3)
    body = {"traffic_pct": None, "reward_threshold": None, "window_hours": None, "duration": None}
    assert read_change(body, current, NOW) == spec_of()
    assert set(change_problems({"name": None}, current)) == {"name"}


def test_changed_policies_keep_what_is_not_given_of_them() -> None:
    current = spec_of(
        policies=[{"name": "egreedy", "weight": 3, "params": {"epsilon": 0.3}}, "ucb", "control"]
    )
    changed = read_change({"policies": ["egreedy", {"name": "control", "weight": 2}]}, current, NOW)
    assert changed.policies == (current.policies[0], replace(current.policies[2], weight=2.0))


def test_confirmed_exposure_needs_a_kind_that_confirms() -> None:
    kinds = {"kinds": ["click", "shown"], "learns": "click"}
    assert spec_of(reward={**kinds, "exposure": "confirmed"}).reward.exposure is Exposure.CONFIRMED
    assert spec_of(reward=kinds).reward.exposure is Exposure.SERVED
    for reward in ({"kinds": ["click"]}, {"kinds": ["click", "shown"], "learns": "shown"}):
        found = problems_of({"name": "x", "reward": {**reward, "exposure": "confirmed"}})
        assert set(found) == {"reward.exposure"}
    current = spec_of(reward=kinds)
    found = change_problems({"reward": {"exposure": "confirmed"}}, current)
    assert "fixed" in found["reward.exposure"]


def test_candidates_are_logged_unless_only_their_hash_is_wanted() -> None:
    assert spec_of().log_candidates is CandidateLog.ARMS
    assert spec_of(log_candidates="hash").log_candidates is CandidateLog.HASH
    assert set(problems_of({"name": "x", "log_candidates": "no"})) == {"log_candidates"}


def test_learning_keeps_what_is_not_given_of_it_and_null_unsets() -> None:
    current = spec_of(learning={"delay": "weighted", "half_life_hours": 72})
    assert current.learning == Learning(delay=Delay.WEIGHTED, half_life_hours=72.0)
    changes: list[tuple[object, Learning]] = [
        ({"delay": "at_close"}, Learning(delay=Delay.AT_CLOSE, half_life_hours=72.0)),
        ({"half_life_hours": None}, Learning(delay=Delay.WEIGHTED)),
        ({"delay": None}, Learning(half_life_hours=72.0)),
        (None, Learning()),
    ]
    for change, learning in changes:
        assert read_change({"learning": change}, current, NOW) == replace(
            current, learning=learning
        )


def test_what_cannot_change_is_said() -> None:
    current = spec_of(policies="thompson,control", default_policy="thompson")
    found = change_problems(
        {"key": "k", "arms": [], "reward": {"aggregation": "sum"}, "policies": ["control"]}, current
    )
    assert set(found) == {"key", "arms", "reward.aggregation", "default_policy"}
    assert "POST .../arms" in found["arms"]
    assert "fixed" in found["reward.aggregation"]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Bandit Test v1", "bandit-test-v1"),
        ("  Über  Größe! ", "uber-groe"),
        ("日本", "experiment"),
        ("exp_1", "exp-1"),
    ],
)
def test_slug(name: str, key: str) -> None:
    assert slug(name) == key


def test_a_schedule_is_read_in_any_zone() -> None:
    spec = spec_of(start_at="2026-03-02T10:00:00+01:00", end_at="2026-03-05", duration=2)
    assert spec.start_at == datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert (spec.end_at, spec.duration_days) == (datetime(2026, 3, 5, tzinfo=UTC), 2.0)
    assert spec.start_at.tzinfo is UTC
    assert read_change({"start_at": None, "end_at": None}, spec, NOW) == spec_of(duration=2)


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"start_at": "soon"}, {"start_at"}),
        ({"start_at": 5, "end_at": "9999-12-31T23:59:59-01:00"}, {"start_at", "end_at"}),
        ({"start_at": "9999-12-25T00:00:00Z", "end_at": "1066-10-14"}, {"start_at", "end_at"}),
        ({"start_at": "2026-03-01T12:00:00Z"}, {"start_at"}),
        ({"end_at": "2026-03-01T11:59:59Z"}, {"end_at"}),
        ({"start_at": "2026-03-04", "end_at": "2026-03-04"}, {"end_at"}),
        ({"start_at": "2026-02-04", "end_at": "2026-02-05"}, {"start_at", "end_at"}),
        ({"end_at": "2025-03-05", "duration": 0, "name": ""}, {"end_at", "duration", "name"}),
    ],
)
def test_a_schedule_that_cannot_be_is_told(fields: dict[str, object], at_fault: set[str]) -> None:
    assert set(problems_of({"name": "x", **fields})) == at_fault


def test_a_schedule_that_has_begun_changes_in_the_future_alone() -> None:
    current = spec_of(start_at="2026-03-02", end_at="2026-03-09")
    begun, now = current.start_at, NOW + timedelta(days=3)

    def refused(**fields: object) -> set[str]:
        return set(problems(lambda: read_change(fields, current, now, begun)))

    assert refused(start_at="2026-03-06") == {"start_at"}
    assert refused(end_at="2026-03-04T11:00Z") == {"end_at"}
    assert refused(end_at=None, duration_days=2.4) == {"duration_days"}
    assert read_change({"notes": "x"}, current, NOW + timedelta(days=99), begun).notes == "x"
    longer = read_change({"end_at": None, "duration_days": 2.6}, current, now, begun)
    assert longer == replace(current, end_at=None, duration_days=2.6)
    early = change_problems({"start_at": "2026-03-10"}, current)
    assert "change both" in early["start_at"]
