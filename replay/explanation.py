"""What is said of an explained decision: one document of plain values."""

from collections.abc import Mapping
from typing import Any

from pullarm.domain.assignment import MICRO
from pullarm.domain.decision import UNLISTED, Decision, Reason, Reward, RewardStatus, uid_ms
from pullarm.domain.experiment import POLICY_NAMES, Learning
from pullarm.domain.history import Logged
from pullarm.domain.publication import Published
from pullarm.domain.weighting import HOUR_MS, Weighting
from pullarm.policies.draw import number
from pullarm.policies.posterior import Posterior
from pullarm.storage.postgres.times import at
from replay.explain import Redone
from replay.rebuilt import Belief, belief

_TWO_64 = 2.0**64


def document(
    logged: Logged, decision: Decision, published: Published, redone: Redone
) -> dict[str, Any]:
    """Everything about a decision that is in the ledger whole."""
    experiment, head = published.experiment, published.head
    assert experiment is not None  # redone from it
    names = {arm.arm_no: arm.arm_id for arm in experiment.arms}
    bucket = redone.unit.bucket if redone.unit else decision.bucket
    cohort = experiment.cohort(decision.token.cohort)
    return {
        "verdict": redone.verdict.value,
        "differences": list(redone.differences),
        "experiment": {"id": experiment.id, "key": experiment.key, "name": experiment.spec.name},
        "decision": _facts(logged)
        | {
            "unit": decision.unit,
            "attributes": decision.attributes,
            "cohort": cohort.value if cohort else None,
            "request_id": decision.request_id,
            "unlisted_candidates": decision.unlisted,
            "withheld_candidates": decision.withheld,
            "kernel": decision.kernel,
        },
        "assignment": {
            "bucket": bucket,
            "policy_of_bucket": POLICY_NAMES[experiment.buckets[bucket]],
            "gate": redone.unit.gate / _TWO_64 if redone.unit else None,
            "traffic_pct": experiment.spec.traffic_pct,
            "in_traffic": redone.unit.gate < redone.gate_limit if redone.unit else None,
            "refused": redone.refusal.name if redone.refusal else None,
            "group": experiment.spec.group,
            "erased": redone.unit is None,
            "state": experiment.state.value,
        },
        "publication": {
            "number": head.pub_no,
            "as_of": at(head.as_of_ms),
            "fold": head.fold_no,
            "configuration": head.config_no,
            "grid": head.grid_no,
            "kernel": head.kernel,
            "arms": head.arms,
        },
        "weighting": _weighting(published.weighting, experiment.spec.learning),
        "weights": _weights(published.weighting),
        "policy": {"name": redone.policy, "params": dict(redone.params)},
        "candidates": _candidates(published, redone, names),
        "slots": [
            {
                "slot": slot,
                "arm_no": arm,
                "arm_id": names.get(arm),
                "weight": weight,
                "total": total,
                "propensity": weight / total,
            }
            for slot, (arm, weight, total) in enumerate(
                zip(decision.token.arms, decision.weights, decision.totals, strict=True), start=1
            )
        ],
        "drawn": _drawn(decision, redone),
        "rewards": [_reward(reward) for reward in logged.rewards],
    }


def _drawn(decision: Decision, redone: Redone) -> int | None:
    """The integer below the first slot's total that decided it, candidates in the order of their arms' numbers.

    None where that is not what the slot shows: nothing was drawn, or the draw is not redone.
    """
    scored = sorted(
        (arm, each.integer)
        for arm, each in zip(redone.candidates, redone.scored, strict=True)
        if each is not None
    )
    total = sum(integer for _, integer in scored)
    if not decision.token.arms or total != decision.totals[0]:
        return None
    drawn = number(total, decision.token.uid, 0)
    upto = 0
    for arm, integer in scored:
        upto += integer
        if drawn < upto:
            return drawn if arm == decision.token.arms[0] else None
    return None


def stub_document(logged: Logged) -> dict[str, Any]:
    """What is known of a decision whose reward, or voiding, came first."""
    return {
        "verdict": "not_folded",
        "decision": _facts(logged),
        "rewards": [_reward(reward) for reward in logged.rewards],
    }


def _facts(logged: Logged) -> dict[str, Any]:
    token = logged.token
    return {
        "uid": token.uid.hex(),
        "decided_at": at(uid_ms(token.uid)),
        "reason": Reason(token.reason).name,
        "assigned": POLICY_NAMES[token.assigned],
        "acting": POLICY_NAMES[token.acting],
        "allocation_epoch": token.allocation_epoch,
        "voided": logged.voided,
    }


def _weighting(weighting: Weighting | None, learning: Learning) -> dict[str, Any]:
    if weighting is None:
        return {}
    return {
        "number": weighting.number,
        "as_of": at(weighting.as_of_ms),
        "delay": learning.delay.value,
        "half_life_hours": learning.half_life_hours,
    }


def _weights(weighting: Weighting | None) -> list[dict[str, Any]]:
    """What decisions count from each hour on."""
    return [
        {
            "from": at(point.hour * HOUR_MS),
            "kept": point.kept / MICRO,
            "settled": point.settled / MICRO,
            "pending": point.pending / MICRO,
        }
        for point in (weighting.points if weighting else ())
    ]


def _candidates(
    published: Published, redone: Redone, names: Mapping[int, str]
) -> list[dict[str, Any]]:
    chooser = redone.chooser
    learnt = Posterior.from_bytes(published.posteriors[chooser]) if chooser else None
    found: list[dict[str, Any]] = []
    for place, (arm, scored) in enumerate(
        zip(redone.candidates, redone.scored, strict=True), start=1
    ):
        row: dict[str, Any] = {"place": place, "arm_no": arm, "arm_id": names.get(arm)}
        if learnt is not None and UNLISTED < arm <= learnt.n_arms:
            serves = int(learnt.serves_micro[arm - 1]) / MICRO
            rewards = int(learnt.rewards_micro[arm - 1]) / MICRO
            row |= {"serves": serves, "rewards": rewards}
            believed = belief(redone.params, serves, rewards)
            row |= believed._asdict() | {"interval": _interval(believed)}
        if scored is not None:
            row |= {"weight": scored.weight, "floored": scored.floored, "integer": scored.integer}
        found.append(row)
    return found


def _interval(believed: Belief) -> tuple[float, float] | None:
    """The posterior's 2.5 % and 97.5 % quantiles; None without a posterior."""
    if believed.alpha is None or believed.beta is None:
        return None
    from scipy import special  # which takes a second: a command line is there before

    low, high = special.betaincinv(believed.alpha, believed.beta, (0.025, 0.975))
    return float(low), float(high)


def _reward(reward: Reward) -> dict[str, Any]:
    return {
        "received_at": at(uid_ms(reward.reward_uid)),
        "slot": reward.slot,
        "kind": reward.kind,
        "reward_id": reward.reward_id,
        "source": reward.source,
        "value": reward.value,
        "credit": reward.credit_micro / MICRO,
        "feeds": reward.feeds,
        "retract": reward.retract,
        "status": RewardStatus(reward.status).name,
    }
