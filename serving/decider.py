"""The hot path: one request, one snapshot, one decision. No await, no logging, no input or output."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pullarm.domain.admission import Forced
from pullarm.domain.assignment import Unit, unit_of
from pullarm.domain.cohorts import OTHER
from pullarm.domain.decision import (
    NO_POLICY,
    Decision,
    Reason,
    Token,
    hash_of,
    make_uid,
    pack_arms,
    unpack_arms,
)
from pullarm.domain.experiment import POLICY_NAMES, POLICY_NUMBERS, CandidateLog
from pullarm.policies.draw import KERNEL, Choice, choose, choose_each
from pullarm.policies.fallback import IN_ORDER, ahead, prepare_places
from serving.query import Query
from serving.snapshot import Served

MAX_NEWCOMERS = 100
"""Unlisted candidates that one event names; the next request brings the others."""


_new = tuple.__new__
_SERVED = (Reason.ASSIGNED, Reason.SHIPPED)
"""With these a policy chooses: the user's own, or the one that was shipped."""
_HASH = CandidateLog.HASH


class Answer(NamedTuple):
    """One decision, to be logged and then told."""

    decision: Decision
    policy: str
    arm_ids: list[str]
    propensities: list[float]


class _Plan(NamedTuple):
    """What is known of a decision before anything is drawn."""

    unit: Unit
    reason: Reason
    assigned: int
    acting: int
    chooser: int
    """The policy that is asked; 0 where none is."""
    forced: Forced | None


def decide(
    served: Served, query: Query, now_ms: int, entropy: bytes, *, room: bool = True
) -> Answer:
    """Decide one request; `entropy` is 10 random bytes, the only thing here that is not given.

    Without room for its event there is no decision to learn from: control's choice.
    """
    return decide_all(served, [query], now_ms, [entropy], room=room)[0]


def decide_all(
    served: Served,
    queries: Sequence[Query],
    now_ms: int,
    entropies: Sequence[bytes],
    *,
    room: bool = True,
) -> list[Answer]:
    """Decide several of one experiment, each as `decide` does; what one policy draws is drawn in one call."""
    plans = [_plan(served, query, room=room) for query in queries]
    uids = [make_uid(now_ms, entropy) for entropy in entropies]
    chosen = _choose(served, queries, plans, uids)
    return [
        _answer(served, query, plan, uid, chosen.get(place))
        for place, (query, plan, uid) in enumerate(zip(queries, plans, uids, strict=True))
    ]


def _plan(served: Served, query: Query, *, room: bool) -> _Plan:
    unit = unit_of(served.experiment.salt, query.user)
    # A halt is obeyed ahead of the version that forgets whom it forced.
    forced = served.forced.get(query.user) if served.forced and served.halt is None else None
    known = _known(served, query)
    if forced is None:
        reason, assigned = _assign(served, unit, query, known, room=room)
        acting = chooser = assigned if reason in _SERVED else NO_POLICY
    else:
        reason, assigned, acting = Reason.FORCED, NO_POLICY, NO_POLICY
        chooser = POLICY_NUMBERS.get(forced.policy, NO_POLICY) if known else NO_POLICY
    return _new(_Plan, (unit, reason, assigned, acting, chooser, forced))


def _known(served: Served, query: Query) -> int:
    """How many arms are offered."""
    return len(served.arms.numbers) if query.rows is None else len(query.rows)


def _choose(
    served: Served, queries: Sequence[Query], plans: Sequence[_Plan], uids: Sequence[bytes]
) -> dict[int, list[Choice]]:
    """What policies choose, by place; nothing where none is asked."""
    together: dict[int, list[int]] = {}
    chosen = {}
    for place, (query, plan) in enumerate(zip(queries, plans, strict=True)):
        if plan.chooser == NO_POLICY:
            continue
        if query.draws_one() and len(queries) > 1:
            together.setdefault(plan.chooser, []).append(place)
            continue
        asked = served.policies[plan.chooser]
        chosen[place] = choose(
            asked.policy, asked.prepared, query.rows, slots=query.slots, uid=uids[place]
        )
    for number, places in together.items():
        asked = served.policies[number]
        candidates = [rows for place in places if (rows := queries[place].rows) is not None]
        theirs = [uids[place] for place in places]
        for place, choice in zip(
            places, choose_each(asked.policy, asked.prepared, candidates, theirs), strict=True
        ):
            chosen[place] = [choice]
    return chosen


def _answer(
    served: Served, query: Query, plan: _Plan, uid: bytes, choices: Sequence[Choice] | None
) -> Answer:
    """A decision to log and to tell. Where no policy chose: control's choice, or the arm that the user is forced to."""
    experiment = served.experiment
    unit, reason, assigned, acting, chooser, forced = plan
    all_arms = len(served.arms.numbers) if query.rows is None else 0
    known = _known(served, query)
    offered = len(query.names) if query.names else known
    candidates = query.arms
    names = numbers = None  # by place, where a place was drawn and not an arm's row
    if choices is None:
        if query.names:
            names = query.names
            candidates = pack_arms([served.arms.number(name) for name in names])
        numbers = served.arms.numbers if query.rows is None else unpack_arms(candidates)
        if forced is not None and forced.arm_id:
            choices = _show(served, forced, numbers, query.slots, uid)
        else:
            choices = _fall_back(served, offered, query.slots, uid)
    arms, arm_ids, weights, totals, propensities = [], [], [], [], []
    for drawn, weight, total in choices:
        number = numbers[drawn] if numbers else drawn + 1
        arms.append(number)
        arm_ids.append(names[drawn] if names else served.arms.ids[number - 1])
        weights.append(weight)
        totals.append(total)
        propensities.append(weight / total)
    hashed = experiment.spec.log_candidates is _HASH and query.rows is not None
    attributes = query.attributes
    cohort, new_cohort = _cohort(served, attributes, reason) if attributes else (OTHER, "")
    # All fields, in the order of their definitions, past the constructors, which are Python's: a twentieth of all this.
    token = _new(
        Token,
        (
            uid,
            experiment.number,
            experiment.allocation_epoch,
            assigned,
            acting,
            int(reason),
            experiment.spec.learn_slots,
            unit.hash,
            cohort,
            arms,
        ),
    )
    decision = _new(
        Decision,
        (
            token,
            served.head.config_no,
            served.head.pub_no,
            KERNEL,
            query.user,
            unit.bucket,
            b"" if hashed else candidates,
            weights,
            totals,
            attributes,
            query.request_id,
            offered - known,
            _newcomers(served, query.names) if offered > known else [],
            hash_of(candidates) if hashed and candidates else 0,
            all_arms,
            query.withheld,
            new_cohort,
        ),
    )
    return _new(Answer, (decision, POLICY_NAMES[chooser], arm_ids, propensities))


def _assign(
    served: Served, unit: Unit, query: Query, known: int, *, room: bool
) -> tuple[Reason, int]:
    """Why this unit gets what it gets of these many arms, and its policy's number; 0 outside the experiment."""
    if served.standing not in _SERVED:
        return served.standing, NO_POLICY
    if served.admission is not None:
        refusal = served.admission.refusal(query.user, query.attributes)
        if refusal is not None:
            return refusal, NO_POLICY
    if unit.gate >= served.gate_limit:
        return Reason.NOT_IN_TRAFFIC, NO_POLICY
    assigned = served.shipped or served.experiment.buckets[unit.bucket]
    if known == 0:
        return Reason.NO_KNOWN_CANDIDATE, assigned
    return (served.standing if room else Reason.SPOOL_FULL), assigned


def _cohort(served: Served, attributes: Mapping[str, str], reason: Reason) -> tuple[int, str]:
    """The cohort of a request that tells attributes, and the one whose value is to become a cohort."""
    cohort = served.cohorts.number(attributes)
    unseen = cohort == OTHER and reason is Reason.ASSIGNED
    return cohort, served.cohorts.new(attributes) if unseen else ""


def _fall_back(served: Served, count: int, slots: int, uid: bytes) -> list[Choice]:
    """Control's choice over candidates that need not be arms; a row is a place in the caller's order."""
    if count == 0:
        return []
    places = prepare_places(served.fallback, count)
    return choose(served.fallback, places, None, slots=slots, uid=uid)


def _show(
    served: Served, forced: Forced, numbers: Sequence[int], slots: int, uid: bytes
) -> list[Choice]:
    """The candidates in the caller's order, but for the arm given, which comes first where it is among them."""
    if not numbers:
        return []
    places = ahead(numbers, served.arms.number(forced.arm_id))
    prepared = prepare_places(IN_ORDER, len(places))
    return choose(IN_ORDER, prepared, places, slots=slots, uid=uid)


def _newcomers(served: Served, names: Sequence[str] | None) -> list[str]:
    if not served.open or served.standing not in _SERVED:
        return []
    return [name for name in names or () if name not in served.arms.rows][:MAX_NEWCOMERS]
