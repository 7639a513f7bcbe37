"""The hot path: one request, one snapshot, one decision. No await, no logging, no input or output."""

from collections.abc import Sequence
from typing import NamedTuple, cast

from pullarm.domain.assignment import Unit, unit_of
from pullarm.domain.decision import NO_POLICY, UNLISTED, Decision, Reason, Token, hash_of, make_uid
from pullarm.domain.errors import NotFound, Unavailable
from pullarm.domain.experiment import POLICY_NAMES, CandidateLog
from pullarm.policies.draw import KERNEL, Choice, choose
from pullarm.policies.fallback import prepare_places
from serving.snapshot import Served, Snapshot

MAX_NEWCOMERS = 100
"""Unlisted candidates that one event names; the next request brings the others."""


_COHORT = 0


class Query(NamedTuple):
    """One selection, checked."""

    experiment: str
    user: str
    candidates: list[str]
    rows: list[int | None]
    """The arm each candidate is in the snapshot that decides; None for those that are none."""
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


def decide(
    snapshot: Snapshot, query: Query, now_ms: int, entropy: bytes, *, room: bool = True
) -> Answer:
    """Decide one request; `entropy` is 10 random bytes, the only thing here that is not given.

    Without room for its event there is no decision to learn from: control's choice.
    """
    served = find(snapshot, query.experiment)
    experiment = served.experiment
    unit = unit_of(experiment.salt, query.user)
    offer = _offer(served, query)
    reason, assigned = _assign(served, unit, offer, room=room)
    uid = make_uid(now_ms, entropy)
    candidates: list[int] = []
    if reason is Reason.ASSIGNED:
        acting = assigned
        policy = served.policies[assigned]
        choices = choose(policy.policy, policy.prepared, offer.rows, slots=query.slots, uid=uid)
        shown: Sequence[str] = served.arm_ids
        if offer.rows is not None:
            candidates = [row + 1 for row in offer.rows]
    else:
        acting = NO_POLICY
        choices = _fall_back(served, len(offer.names), query.slots, uid)
        shown = offer.names
        if offer.rows is not None:
            candidates = [served.rows.get(name, UNLISTED - 1) + 1 for name in shown]
    arms, arm_ids, weights, totals, propensities = [], [], [], [], []
    for row, weight, total in choices:
        arm_id = shown[row]
        arm_ids.append(arm_id)
        arms.append(served.rows.get(arm_id, UNLISTED - 1) + 1)
        weights.append(weight)
        totals.append(total)
        propensities.append(weight / total)
    hashed = offer.rows is not None and experiment.spec.log_candidates is CandidateLog.HASH
    # By place, in the order of their definitions: keywords would cost a twentieth of all this.
    token = Token(
        uid,
        experiment.number,
        experiment.allocation_epoch,
        assigned,
        acting,
        int(reason),
        experiment.spec.learn_slots,
        unit.hash,
        _COHORT,
        arms,
    )
    decision = Decision(
        token,
        served.head.config_no,
        served.head.pub_no,
        KERNEL,
        query.user,
        unit.bucket,
        [] if hashed else candidates,
        weights,
        totals,
        query.attributes,
        query.request_id,
        offer.unlisted,
        _newcomers(served, offer) if offer.unlisted else [],
        hash_of(candidates) if hashed else 0,
        len(offer.names) if offer.rows is None else 0,
    )
    return Answer(decision, POLICY_NAMES[acting], arm_ids, propensities)


class _Offer(NamedTuple):
    """What there is to choose from."""

    names: Sequence[str]
    """Distinct candidates in the caller's order; the whole catalogue where none are named."""
    rows: list[int] | None
    """The arms among them; None for the whole catalogue, which is not listed for every request."""
    unlisted: int


def _offer(served: Served, query: Query) -> _Offer:
    named, rows = query.candidates, query.rows
    if not named:
        return _Offer(served.arm_ids, None, 0)
    if len(set(rows)) == len(rows):
        known = (
            [row for row in rows if row is not None] if None in rows else cast("list[int]", rows)
        )
        return _Offer(named, known, len(rows) - len(known))
    names = list(dict.fromkeys(named))
    known = [served.rows[name] for name in names if name in served.rows]
    return _Offer(names, known, len(names) - len(known))


def _assign(served: Served, unit: Unit, offer: _Offer, *, room: bool) -> tuple[Reason, int]:
    """Why this unit gets what it gets, and its policy's number; 0 outside the experiment."""
    if served.standing is not Reason.ASSIGNED:
        return served.standing, NO_POLICY
    if unit.gate >= served.gate_limit:
        return Reason.NOT_IN_TRAFFIC, NO_POLICY
    assigned = served.experiment.buckets[unit.bucket]
    if len(offer.names) == offer.unlisted:
        return Reason.NO_KNOWN_CANDIDATE, assigned
    return (Reason.ASSIGNED if room else Reason.SPOOL_FULL), assigned


def _fall_back(served: Served, count: int, slots: int, uid: bytes) -> list[Choice]:
    """Control's choice over candidates that need not be arms; a row is a place in the caller's order."""
    if count == 0:
        return []
    places = prepare_places(served.fallback, count)
    return choose(served.fallback, places, None, slots=slots, uid=uid)


def _newcomers(served: Served, offer: _Offer) -> list[str]:
    if not served.open or served.standing is not Reason.ASSIGNED:
        return []
    return [name for name in offer.names if name not in served.rows][:MAX_NEWCOMERS]
