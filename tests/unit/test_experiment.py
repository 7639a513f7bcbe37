"""Which actions are legal when, and which changes make figures incomparable."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullarm.domain.errors import Conflict
from pullarm.domain.experiment import (
    ACTIONS,
    Aggregation,
    PolicySpec,
    RewardDefinition,
    RewardKind,
    Spec,
    State,
    next_state,
    policy_weights,
)
from pullarm.domain.transitions import starts_allocation_epoch

LEGAL = {
    ("edit", State.DRAFT): State.DRAFT,
    ("edit", State.RUNNING): State.RUNNING,
    ("start", State.DRAFT): State.RUNNING,
    ("stop", State.RUNNING): State.STOPPED,
    ("stop", State.ROLLED_BACK): State.STOPPED,
    ("stop", State.SHIPPED): State.STOPPED,
    ("stop", State.STOPPED): State.STOPPED,
    ("ship", State.RUNNING): State.SHIPPED,
    ("ship", State.STOPPED): State.SHIPPED,
    ("ship", State.SHIPPED): State.SHIPPED,
    ("clone", State.STOPPED): State.STOPPED,
    ("clone", State.ARCHIVED): State.ARCHIVED,
    ("archive", State.DRAFT): State.ARCHIVED,
    ("archive", State.STOPPED): State.ARCHIVED,
    ("archive", State.ARCHIVED): State.ARCHIVED,
    ("rollback", State.RUNNING): State.ROLLED_BACK,
    ("rollback", State.SHIPPED): State.ROLLED_BACK,
    ("rollback", State.ROLLED_BACK): State.ROLLED_BACK,
    ("resume", State.ROLLED_BACK): State.RUNNING,
}
THOMPSON = PolicySpec(name="thompson", weight=0.3, params={"floor": 0.05})
CONTROL = PolicySpec(name="control", weight=0.1)
SPEC = Spec(name="a", policies=(THOMPSON, CONTROL))


@pytest.mark.parametrize(("move", "target"), LEGAL.items(), ids=str)
def test_legal_action_leads_to_its_state(move: tuple[str, State], target: State) -> None:
    assert next_state(*move) is target


@pytest.mark.parametrize(
    ("action", "state"),
    [(action, state) for action in ACTIONS for state in State if (action, state) not in LEGAL],
)
def test_illegal_action_is_refused_and_the_legal_ones_named(action: str, state: State) -> None:
    with pytest.raises(Conflict) as caught:
        next_state(action, state)
    legal = [name for name, at in LEGAL if at is state]
    said = f"cannot {action} an experiment that is {state}; legal now: {', '.join(legal)}"
    assert str(caught.value) == said


def test_policies_without_weight_get_no_traffic() -> None:
    spec = replace(SPEC, policies=(THOMPSON, replace(CONTROL, weight=0.0)))
    assert policy_weights(spec) == {2: 0.3}


@pytest.mark.parametrize(
    "after",
    [
        SPEC,
        replace(SPEC, traffic_pct=0.5),
        replace(SPEC, name="b", notes="why", duration_days=7.0),
        replace(SPEC, default_policy="thompson", max_arms=5),
        replace(SPEC, policies=(CONTROL, THOMPSON)),
        replace(SPEC, policies=(replace(THOMPSON, weight=3.0), replace(CONTROL, weight=1.0))),
    ],
    ids=["nothing", "traffic", "words", "what is shipped", "order", "same shares"],
)
def test_change_that_leaves_figures_comparable_starts_no_epoch(after: Spec) -> None:
    assert not starts_allocation_epoch(SPEC, after)


@given(weights=st.lists(st.floats(0.01, 100), min_size=2, max_size=2), factor=st.floats(0.01, 100))
def test_relative_weights_count_and_not_their_scale(weights: list[float], factor: float) -> None:
    before, after = (
        replace(
            SPEC,
            policies=(
                replace(THOMPSON, weight=weights[0] * scale),
                replace(CONTROL, weight=weights[1] * scale),
            ),
        )
        for scale in (1.0, factor)
    )
    assert not starts_allocation_epoch(before, after)


@pytest.mark.parametrize(
    "after",
    [
        replace(SPEC, policies=(THOMPSON, replace(CONTROL, weight=0.2))),
        replace(SPEC, policies=(THOMPSON,)),
        replace(SPEC, policies=(THOMPSON, CONTROL, PolicySpec(name="ucb"))),
        replace(SPEC, policies=(THOMPSON, CONTROL, PolicySpec(name="ucb", weight=0.0))),
        replace(SPEC, policies=(replace(THOMPSON, params={"floor": 0.1}), CONTROL)),
        replace(SPEC, reward=RewardDefinition(window_hours=48.0)),
        replace(SPEC, reward=RewardDefinition(aggregation=Aggregation.MAX)),
        replace(SPEC, reward=RewardDefinition(kinds=(RewardKind(name="reward", threshold=4.0),))),
    ],
    ids=[
        *("weight", "policy gone", "policy added", "idle policy added"),
        *("parameter", "window", "aggregation", "threshold"),
    ],
)
def test_change_that_makes_figures_incomparable_starts_an_epoch(after: Spec) -> None:
    assert starts_allocation_epoch(SPEC, after)
    assert starts_allocation_epoch(after, SPEC)


@pytest.mark.parametrize(
    ("threshold", "value", "credit"),
    [
        (None, 0.0, 0),
        (None, 0.25, 250_000),
        (None, 1.0, 1_000_000),
        (None, 1e-7, 0),
        (4.0, 3.999, 0),
        (4.0, 4.0, 1_000_000),
        (4.0, 1e300, 1_000_000),
        (-1.0, -1.0, 1_000_000),
    ],
)
def test_value_is_worth_its_credit(threshold: float | None, value: float, credit: int) -> None:
    assert RewardKind(name="reward", threshold=threshold).credit_micro(value) == credit
