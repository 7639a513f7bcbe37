"""The edge's judgement of a reward. It is made once, here, and travels with the reward; the fold never judges again."""

from math import isfinite
from typing import NamedTuple

from pullarm.domain.decision import (
    GRACE_MS,
    SKEW_MS,
    UNLISTED,
    Reward,
    RewardStatus,
    Token,
    make_uid,
    uid_ms,
)
from pullarm.domain.errors import InvalidInput, NotFound, Unavailable, invalid
from pullarm.domain.experiment import Aggregation, RewardKind
from serving.snapshot import Served, Snapshot

_MS_PER_HOUR = 3_600_000


class Report(NamedTuple):
    """One reported outcome, its fields within their limits."""

    arm_id: str
    value: float
    kind: str
    reward_id: str
    occurred_ms: int | None
    source: str
    retract: bool


def judge(snapshot: Snapshot, token: Token, report: Report, now_ms: int, entropy: bytes) -> Reward:
    """The reward as the ledger will keep it.

    Raises InvalidInput or NotFound with the status it is refused with, Unavailable where it may be tried again.
    """
    served = snapshot.by_number.get(token.experiment)
    if served is None:
        if not snapshot.whole:
            raise Unavailable("this server has not loaded all experiments; try again")
        gone = NotFound("decision_id: its experiment is gone")
        raise gone.counted_as(RewardStatus.EXPERIMENT_GONE)
    definition = served.experiment.spec.reward
    kind = _kind(served, report.kind or definition.learns)
    if (definition.aggregation is Aggregation.SUM or report.retract) and not report.reward_id:
        raise _refused(
            RewardStatus.MISSING_REWARD_ID,
            "reward_id",
            "is empty; it is needed where rewards are summed or retracted",
        )
    credit_micro = 0 if report.retract else _credit(kind, report.value)
    occurred_ms = _occurred(report, token, now_ms)
    window_ms = round(definition.window_hours * _MS_PER_HOUR)
    return Reward(
        token=token,
        reward_uid=make_uid(now_ms, entropy),
        slot=_slot(served, token, report.arm_id),
        kind=kind.name,
        reward_id=report.reward_id,
        source=report.source,
        value=0.0 if report.retract else report.value,
        credit_micro=credit_micro,
        feeds=kind.name == definition.learns,
        retract=report.retract,
        status=int(_status(token, occurred_ms, now_ms, window_ms)),
        occurred_ms=occurred_ms,
    )


def _status(token: Token, occurred_ms: int, now_ms: int, window_ms: int) -> RewardStatus:
    if token.acting == 0:
        return RewardStatus.NOT_IN_EXPERIMENT
    closes_ms = uid_ms(token.uid) + window_ms
    if occurred_ms > closes_ms or now_ms > closes_ms + GRACE_MS:
        return RewardStatus.LATE
    return RewardStatus.ACCEPTED


def _kind(served: Served, name: str) -> RewardKind:
    kind = served.kinds.get(name)
    if kind is None:
        declared = ", ".join(served.kinds)
        raise _refused(
            RewardStatus.UNKNOWN_KIND,
            "kind",
            f"{name!r} is not declared by the experiment; declared: {declared}",
        )
    return kind


def _credit(kind: RewardKind, value: float) -> int:
    if not isfinite(value):
        raise _refused(RewardStatus.INVALID_VALUE, "value", f"is {value}; it must be finite")
    if kind.threshold is None and not 0.0 <= value <= 1.0:
        raise _refused(
            RewardStatus.INVALID_VALUE, "value", f"is {value:g}; kind {kind.name!r} takes 0 to 1"
        )
    return kind.credit_micro(value)


def _occurred(report: Report, token: Token, now_ms: int) -> int:
    occurred_ms = now_ms if report.occurred_ms is None else report.occurred_ms
    if occurred_ms > now_ms + SKEW_MS:
        ahead_s = (occurred_ms - now_ms) / 1000
        raise _refused(
            RewardStatus.IN_FUTURE, "occurred_at", f"lies {ahead_s:.0f} s in the future; at most 60"
        )
    if occurred_ms < uid_ms(token.uid) - SKEW_MS:
        raise _refused(
            RewardStatus.BEFORE_DECISION, "occurred_at", "lies before the decision was made"
        )
    return occurred_ms


def _slot(served: Served, token: Token, arm_id: str) -> int:
    """From 1. A decision of one slot needs no arm."""
    if not token.arms:
        raise _unknown_arm(
            "decision_id", "names a decision that chose nothing; there is nothing to reward"
        )
    if not arm_id:
        if len(token.arms) == 1:
            return 1
        raise _unknown_arm(
            "arm_id", f"is empty; the decision filled {len(token.arms)} slots, name the arm"
        )
    ids = served.arms.ids  # by number: whatever has become of the arm since, and of its id
    for slot, arm_no in enumerate(token.arms, start=1):
        if UNLISTED < arm_no <= len(ids) and ids[arm_no - 1] == arm_id:
            return slot
    if token.acting == 0:
        # A fallback may have shown what is no arm: its id is not in the token, nor is it credited.
        return token.arms.index(UNLISTED) + 1 if UNLISTED in token.arms else 1
    raise _unknown_arm("arm_id", f"{arm_id!r} was not chosen by this decision")


def _unknown_arm(field: str, detail: str) -> InvalidInput:
    return _refused(RewardStatus.UNKNOWN_ARM, field, detail)


def _refused(status: RewardStatus, field: str, detail: str) -> InvalidInput:
    return invalid(field, detail).counted_as(status)
