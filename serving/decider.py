"""The hot path: one request, one snapshot, one decision. No await, no logging, no input or output."""

from typing import NamedTuple

import numpy as np

from pullarm.domain.assignment import Unit, unit_of
from pullarm.domain.decision import NO_POLICY, UNLISTED, Decision, Reason, Token, hash_of, make_uid
from pullarm.domain.errors import NotFound, Unavailable
from pullarm.domain.experiment import POLICY_NAMES, CandidateLog
from pullarm.policies.draw import KERNEL, Choice, choose
from pullarm.policies.posterior import Posterior
from serving.snapshot import Served, Snapshot

MAX_NEWCOMERS = 100
"""Unlisted candidates that one event names; the next request brings the others."""


class Query(NamedTuple):
    """One selection, checked."""

    experiment: str
    user: str
    candidates: list[str]
    slots: int
    attributes: dict[str, str]
    request_id: str


class Answer(NamedTuple):
    """One decision, to be logged and then told."""

    decision: Decision
    policy: str
    arm_ids: list[str]
    propensities: list[float]


def find(snapshot: Snapshot, reference: str) -> Served:
    """The experiment a caller names."""
    served = snapshot.by_reference.get(reference)
    if served is None:
        if not snapshot.whole:
            raise Unavailable("NO_SNAPSHOT: this server has not loaded all experiments; try again")
        raise NotFound(f"experiment_id: there is no experiment {reference!r}")
    return served


def decide(snapshot: Snapshot, query: Query, now_ms: int, entropy: bytes) -> Answer:
    """Decide one request; `entropy` is 10 random bytes, the only thing here that is not given."""
    served = find(snapshot, query.experiment)
    unit = unit_of(served.experiment.salt, query.user)
    named = list(dict.fromkeys(query.candidates)) or list(served.arm_ids)
    rows = [served.rows[name] for name in named if name in served.rows]
    reason, assigned = _assign(served, unit, rows)
    uid = make_uid(now_ms, entropy)
    if reason is Reason.ASSIGNED:
        acting = assigned
        policy = served.policies[assigned]
        choices = choose(policy.policy, policy.prepared, rows, slots=query.slots, uid=uid)
        arm_ids = [served.arm_ids[choice.row] for choice in choices]
        candidates = [row + 1 for row in rows]
        arms = [choice.row + 1 for choice in choices]
    else:
        acting = NO_POLICY
        choices = _fall_back(served, len(named), query.slots, uid)
        arm_ids = [named[choice.row] for choice in choices]
        candidates = [served.rows.get(name, UNLISTED - 1) + 1 for name in named]
        arms = [candidates[choice.row] for choice in choices]
    token = Token(
        uid=uid,
        experiment=served.experiment.number,
        allocation_epoch=served.experiment.allocation_epoch,
        assigned=assigned,
        acting=acting,
        reason=int(reason),
        learn_slots=served.experiment.spec.learn_slots,
        unit_hash=unit.hash,
        cohort=0,
        arms=arms,
    )
    hashed = served.experiment.spec.log_candidates is CandidateLog.HASH
    decision = Decision(
        token=token,
        config_no=served.head.config_no,
        pub_no=served.head.pub_no,
        kernel=KERNEL,
        unit=query.user,
        bucket=unit.bucket,
        candidates=[] if hashed else candidates,
        weights=[choice.weight for choice in choices],
        totals=[choice.total for choice in choices],
        attributes=query.attributes,
        request_id=query.request_id,
        unlisted=len(named) - len(rows),
        newcomers=_newcomers(served, named) if len(rows) < len(named) else [],
        candidates_hash=hash_of(candidates) if hashed else 0,
    )
    return Answer(
        decision, POLICY_NAMES[acting], arm_ids, [choice.propensity for choice in choices]
    )


def _assign(served: Served, unit: Unit, rows: list[int]) -> tuple[Reason, int]:
    """Why this unit gets what it gets, and its policy's number; 0 outside the experiment."""
    if served.standing is not Reason.ASSIGNED:
        return served.standing, NO_POLICY
    if unit.gate >= served.gate_limit:
        return Reason.NOT_IN_TRAFFIC, NO_POLICY
    assigned = served.experiment.buckets[unit.bucket]
    return (Reason.ASSIGNED if rows else Reason.NO_KNOWN_CANDIDATE), assigned


def _fall_back(served: Served, count: int, slots: int, uid: bytes) -> list[Choice]:
    """Control's choice over candidates that need not be arms; a row is a place in the caller's order."""
    if count == 0:
        return []
    nothing = np.zeros(count, dtype=np.int64)
    prepared = served.fallback.prepare(
        Posterior(serves_micro=nothing, rewards_micro=nothing), grid=None
    )
    return choose(served.fallback, prepared, range(count), slots=slots, uid=uid)


def _newcomers(served: Served, named: list[str]) -> list[str]:
    if not served.open or served.standing is not Reason.ASSIGNED:
        return []
    return [name for name in named if name not in served.rows][:MAX_NEWCOMERS]
