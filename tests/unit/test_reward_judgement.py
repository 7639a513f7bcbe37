"""The edge judges every reward once: what it is worth, in time or not, and for which slot."""

from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest

from pullarm.domain.assignment import MICRO
from pullarm.domain.decision import (
    GRACE_MS,
    SKEW_MS,
    Reason,
    Reward,
    RewardStatus,
    Token,
    make_uid,
)
from pullarm.domain.errors import InvalidInput, NotFound, Unavailable
from pullarm.domain.experiment import (
    Aggregation,
    ArmStatus,
    Experiment,
    RewardDefinition,
    RewardKind,
)
from serving.rewards import Report, judge
from serving.snapshot import Snapshot
from tests.builders import ENTROPY, TOKEN, ask, experiment, published, query, snapshot_of
from tests.ledger_events import HOUR_MS, START_MS

WINDOW_MS = 24 * HOUR_MS
KINDS = RewardDefinition(
    kinds=(RewardKind(name="reward"), RewardKind(name="rating", threshold=4.0)), learns="rating"
)
FALLBACK = TOKEN._replace(assigned=0, acting=0, reason=Reason.NOT_IN_TRAFFIC)
SLATE = TOKEN._replace(arms=[2, 3, 1])


Reported = tuple[Token, Report]
"""What a decision id says, and what came of it."""


def report(token: Token = TOKEN, **changes: Any) -> Reported:
    plain = Report(
        arm_id="",
        value=1.0,
        kind="",
        reward_id="",
        occurred_ms=None,
        source="",
        retract=False,
    )
    return token, plain._replace(**changes)


def judged(
    reported: Reported, *, of: Experiment | None = None, now_ms: int = START_MS + 1_000
) -> Reward:
    return judge(snapshot_of(published(of or experiment())), *reported, now_ms, ENTROPY)


def refused(
    reported: Reported,
    status: RewardStatus,
    field: str,
    problem: str,
    *,
    of: Experiment | None = None,
) -> None:
    with pytest.raises(InvalidInput, match=problem) as caught:
        judged(reported, of=of)
    assert [each.field for each in caught.value.problems] == [field]
    assert caught.value.reward_status is status
    assert not status.kept


def test_reward_says_what_was_reported() -> None:
    now_ms, occurred_ms = START_MS + 60_000, START_MS + 5_000
    reward = judged(
        report(value=0.25, reward_id="r", source="shop", occurred_ms=occurred_ms), now_ms=now_ms
    )
    assert reward.token == TOKEN
    assert reward.reward_uid == make_uid(now_ms, ENTROPY)
    assert (reward.slot, reward.kind, reward.reward_id, reward.source) == (1, "reward", "r", "shop")
    assert (reward.value, reward.credit_micro) == (0.25, 250_000)
    assert (reward.feeds, reward.retract) == (True, False)
    assert (reward.status, reward.occurred_ms) == (RewardStatus.ACCEPTED, occurred_ms)


def test_reward_without_a_time_happens_now() -> None:
    assert judged(report(), now_ms=START_MS + 77).occurred_ms == START_MS + 77


@pytest.mark.parametrize(
    ("occurred_ms", "received_ms", "status"),
    [
        (WINDOW_MS, WINDOW_MS, RewardStatus.ACCEPTED),
        (WINDOW_MS + 1, WINDOW_MS + 1, RewardStatus.LATE),
        (WINDOW_MS, WINDOW_MS + GRACE_MS, RewardStatus.ACCEPTED),
        (WINDOW_MS, WINDOW_MS + GRACE_MS + 1, RewardStatus.LATE),
        (0, WINDOW_MS + GRACE_MS, RewardStatus.ACCEPTED),
        (0, WINDOW_MS + GRACE_MS + 1, RewardStatus.LATE),
        (WINDOW_MS + 1, WINDOW_MS - SKEW_MS + 1, RewardStatus.LATE),
        (-SKEW_MS, 0, RewardStatus.ACCEPTED),
        (SKEW_MS, 0, RewardStatus.ACCEPTED),
    ],
)
def test_window_and_grace_close_to_the_millisecond(
    occurred_ms: int, received_ms: int, status: RewardStatus
) -> None:
    reward = judged(report(occurred_ms=START_MS + occurred_ms), now_ms=START_MS + received_ms)
    assert reward.status == status


def test_window_is_the_experiments() -> None:
    of = experiment(reward=RewardDefinition(window_hours=0.5))
    half_ms = HOUR_MS // 2
    for after_ms, status in ((half_ms, RewardStatus.ACCEPTED), (half_ms + 1, RewardStatus.LATE)):
        reward = judged(report(), of=of, now_ms=START_MS + after_ms)
        assert reward.status == status


def test_time_in_the_future_is_refused_beyond_the_skew() -> None:
    refused(
        report(occurred_ms=START_MS + 1_000 + SKEW_MS + 1),
        RewardStatus.IN_FUTURE,
        "occurred_at",
        "lies 60 s in the future; at most 60",
    )


def test_time_before_the_decision_is_refused_beyond_the_skew() -> None:
    refused(
        report(occurred_ms=START_MS - SKEW_MS - 1),
        RewardStatus.BEFORE_DECISION,
        "occurred_at",
        "before the decision",
    )


@pytest.mark.parametrize(
    ("kind", "value", "credit"),
    [
        ("", 3.9, 0),
        ("", 4.0, MICRO),
        ("rating", 1e9, MICRO),
        ("rating", -5.0, 0),
        ("reward", 0.0, 0),
        ("reward", 1.0, MICRO),
        ("reward", 0.5, MICRO // 2),
    ],
)
def test_kind_decides_what_a_value_is_worth(kind: str, value: float, credit: int) -> None:
    reward = judged(report(kind=kind, value=value), of=experiment(reward=KINDS))
    assert (reward.kind, reward.credit_micro) == (kind or "rating", credit)
    assert reward.feeds is (reward.kind == "rating")


@pytest.mark.parametrize("value", [nan, inf, -inf])
@pytest.mark.parametrize("kind", ["reward", "rating"])
def test_value_must_be_finite(kind: str, value: float) -> None:
    of = experiment(reward=KINDS)
    refused(
        report(kind=kind, value=value),
        RewardStatus.INVALID_VALUE,
        "value",
        f"is {value}; it must be finite",
        of=of,
    )


@pytest.mark.parametrize("value", [-1e-9, 1.0000001, -1.0, 5.0, 1e308])
def test_value_without_a_threshold_is_a_fraction(value: float) -> None:
    refused(report(value=value), RewardStatus.INVALID_VALUE, "value", "kind 'reward' takes 0 to 1")


def test_undeclared_kind_is_refused_and_the_declared_ones_named() -> None:
    refused(
        report(kind="click"),
        RewardStatus.UNKNOWN_KIND,
        "kind",
        "'click' is not declared by the experiment; declared: reward, rating",
        of=experiment(reward=KINDS),
    )


def test_sums_need_a_reward_id() -> None:
    of = experiment(reward=RewardDefinition(aggregation=Aggregation.SUM))
    refused(
        report(),
        RewardStatus.MISSING_REWARD_ID,
        "reward_id",
        "needed where rewards are summed or retracted",
        of=of,
    )
    assert judged(report(reward_id="r"), of=of).status == RewardStatus.ACCEPTED


def test_retraction_needs_a_reward_id() -> None:
    refused(
        report(retract=True),
        RewardStatus.MISSING_REWARD_ID,
        "reward_id",
        "needed where rewards are summed or retracted",
    )


@pytest.mark.parametrize("value", [1.0, 7.0, nan, inf])
def test_retraction_ignores_the_value(value: float) -> None:
    reward = judged(report(retract=True, reward_id="r", value=value))
    assert (reward.retract, reward.value, reward.credit_micro) == (True, 0.0, 0)


@pytest.mark.parametrize(("arm", "slot"), [("two", 1), ("three", 2), ("one", 3)])
def test_arm_names_the_slot(arm: str, slot: int) -> None:
    assert judged(report(SLATE, arm_id=arm)).slot == slot


def test_arm_is_needed_for_several_slots() -> None:
    refused(
        report(SLATE),
        RewardStatus.UNKNOWN_ARM,
        "arm_id",
        "is empty; the decision filled 3 slots, name the arm",
    )


def test_arm_may_be_named_for_a_single_slot() -> None:
    assert judged(report(arm_id="two")).slot == 1


@pytest.mark.parametrize("arm", ["one", "unknown"])
def test_arm_that_was_not_chosen_is_refused(arm: str) -> None:
    refused(
        report(arm_id=arm),
        RewardStatus.UNKNOWN_ARM,
        "arm_id",
        f"'{arm}' was not chosen by this decision",
    )


def test_decision_that_chose_nothing_cannot_be_rewarded() -> None:
    refused(
        report(TOKEN._replace(arms=[])), RewardStatus.UNKNOWN_ARM, "decision_id", "chose nothing"
    )


@pytest.mark.parametrize("after_ms", [0, WINDOW_MS + GRACE_MS + 1])
def test_reward_of_a_fallback_is_not_in_the_experiment(after_ms: int) -> None:
    reward = judged(report(FALLBACK), now_ms=START_MS + after_ms)
    assert reward.status == RewardStatus.NOT_IN_EXPERIMENT


def test_fallback_that_showed_no_arm_can_be_rewarded_by_what_it_showed() -> None:
    unlisted = FALLBACK._replace(arms=[2, 0, 0])
    slots = [judged(report(unlisted, arm_id=arm)).slot for arm in ("two", "new", "newer")]
    assert slots == [1, 2, 2]
    registered_since = judged(report(FALLBACK._replace(arms=[0]), arm_id="one"))
    assert (registered_since.slot, registered_since.status) == (1, RewardStatus.NOT_IN_EXPERIMENT)


@pytest.mark.parametrize("status", [ArmStatus.PAUSED, ArmStatus.RETIRED])
def test_reward_finds_the_version_that_was_shown_whatever_has_become_of_it(
    status: ArmStatus,
) -> None:
    made = experiment(arms=("one", "two", "three", "two"))
    one, two, three, new = made.arms
    of = replace(made, arms=(one, replace(two, status=status), three, replace(new, version=2)))
    assert judged(report(SLATE, arm_id="two"), of=of).slot == 1
    newer = TOKEN._replace(arms=[3, 4])
    assert judged(report(newer, arm_id="two"), of=of).slot == 2
    other = report(TOKEN._replace(arms=[1, 3]), arm_id="two")
    refused(other, RewardStatus.UNKNOWN_ARM, "arm_id", "was not chosen", of=of)


def test_assigned_unit_without_known_candidates_is_not_in_the_experiment() -> None:
    snapshot = snapshot_of(published(experiment()))
    answer = ask(snapshot, query("new"))
    reward = judged(report(answer.decision.token))
    assert reward.status == RewardStatus.NOT_IN_EXPERIMENT


def test_rewards_are_judged_by_their_decision_whatever_runs_now() -> None:
    stopped = experiment(traffic_pct=0.0)
    assert judged(report(), of=stopped).status == RewardStatus.ACCEPTED


def test_server_without_a_snapshot_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="has not loaded all experiments") as caught:
        judge(Snapshot(), *report(), START_MS, ENTROPY)
    assert caught.value.reward_status is None, "it may be tried again"


def test_experiment_that_is_gone_is_not_found() -> None:
    with pytest.raises(NotFound, match="decision_id: its experiment is gone") as caught:
        judged(report(), of=experiment(number=8))
    assert caught.value.reward_status is RewardStatus.EXPERIMENT_GONE
