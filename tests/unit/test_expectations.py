"""What is told of an experiment before it begins."""

from dataclasses import replace

import pytest

from control.drafts import read_draft
from control.expectations import expectation, warnings
from pullarm.domain.experiment import Arm, ArmStatus, State
from pullarm.statistics import power
from tests.builders import experiment
from tests.unit.test_drafts import NOW, problems_of, spec_of

KNOWN = {"visits_per_day": 50_000, "base_rate": 0.12}


def warned(**fields: object) -> str:
    draft = read_draft({"name": "x", **fields}, NOW)
    made = replace(experiment(), spec=draft.spec, arms=draft.arms, state=State.DRAFT)
    return "; ".join(warnings(made))


def test_what_policies_need_goes_by_their_shares_and_the_traffic() -> None:
    policies = [{"name": "thompson", "weight": 2}, "ucb", "control"]
    found = expectation(spec_of(policies=policies, traffic_pct=0.5, expected=KNOWN))
    assert found is not None
    assert (found.alpha, found.power, found.uplift) == (0.0125, 0.8, 0.03)
    assert set(found.policies) == {"thompson", "ucb"}
    assert found.policies["thompson"].impressions > found.policies["ucb"].impressions
    for name, share in (("thompson", 0.5), ("ucb", 0.25)):
        days, needed = found.policies[name].days, found.policies[name].impressions
        assert days == pytest.approx(needed / (share * 25_000), abs=0.1)


def test_a_single_look_takes_what_the_formula_of_textbooks_says() -> None:
    """n = (1.96 + 0.8416)^2 2 (1 - p) / (p ln(1.1)^2), were the rates alike: about 12,700 at p = 0.12."""
    expected = {"base_rate": 0.12, "uplift": 0.1, "design_effect": 1}
    found = expectation(spec_of(policies="thompson,control", duration=3, expected=expected))
    assert found is not None
    effect = 1.959964 + 0.841621
    whole = power.impressions(0.12, 0.1, shares=(0.5, 0.5), drift=effect, design_effect=1)
    assert found.policies["thompson"].impressions == pytest.approx(whole / 2, abs=1)
    assert 11_500 < found.policies["thompson"].impressions < 12_700
    assert found.policies["thompson"].days is None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"expected": {"visits_per_day": 9}},
        {"expected": KNOWN, "policies": "thompson,ucb"},
        {"expected": KNOWN, "policies": "control"},
    ],
)
def test_without_a_base_rate_or_a_comparison_nothing_is_expected(fields: dict[str, object]) -> None:
    assert expectation(spec_of(**fields)) is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"policies": "thompson,ucb"}, "control gets no traffic"),
        ({"policies": ["thompson", {"name": "control", "weight": 0}]}, "control gets no traffic"),
        ({"policies": [{"name": "ucb", "weight": 0}, "control"]}, "ucb has weight 0"),
        (
            {"policies": [{"name": "thompson", "params": {"floor": 0}}, "control"]},
            "thompson has floor 0",
        ),
        (
            {"policies": [{"name": "egreedy", "params": {"epsilon": 0}}, "control"]},
            "egreedy has epsilon 0",
        ),
        ({"traffic_pct": 0}, "nobody takes part"),
        ({"log_candidates": "hash"}, "log_candidates is hash"),
        ({"arms": []}, "no active arms"),
        ({"arms": ["a"]}, "1 active arm:"),
        ({"expected": {**KNOWN, "visits_per_day": 100}}, "too little traffic: an uplift of 3.0%"),
    ],
)
def test_what_the_configuration_rules_out_is_said(fields: dict[str, object], said: str) -> None:
    assert said in warned(**fields)


def test_an_ordinary_experiment_is_warned_of_nothing() -> None:
    assert warned() == ""
    assert warned(arms=["a", "b"], expected={"base_rate": 0.5, "visits_per_day": 1e7}) == ""
    paused = Arm(arm_no=1, arm_id="a", status=ArmStatus.PAUSED)
    ended = replace(experiment(), arms=(paused,), state=State.STOPPED)
    assert warnings(ended) == []


@pytest.mark.parametrize(
    ("expected", "at_fault"),
    [
        ({"visits_per_day": 0}, {"expected.visits_per_day"}),
        ({"base_rate": 1, "uplift": "x"}, {"expected.base_rate", "expected.uplift"}),
        ({"base_rate": 0.9, "uplift": 0.2}, {"expected.uplift"}),
        ({"design_effect": 0.5, "day": 1}, {"expected.design_effect", "expected.day"}),
        ([], {"expected"}),
    ],
)
def test_what_cannot_be_expected_is_told(expected: object, at_fault: set[str]) -> None:
    assert set(problems_of({"name": "x", "expected": expected})) == at_fault


@pytest.mark.parametrize("days", [0.1, 7.0, 14.0, 365.0])
def test_any_duration_has_its_looks(days: float) -> None:
    assert expectation(spec_of(duration=days, expected=KNOWN)) is not None


@pytest.mark.parametrize("action", ["count", "critical"])
def test_a_guardrail_that_contradicts_a_bandit_is_told(action: str) -> None:
    guardrails = {"arm_concentration": {"action": action}}
    said = warned(policies="thompson,ucb,control", guardrails=guardrails)
    assert f"arm_concentration has the action {action} and contradicts thompson, ucb" in said
    assert "arm_concentration" not in warned(policies="control", guardrails=guardrails)
    assert "arm_concentration" not in warned(policies="thompson,control")
