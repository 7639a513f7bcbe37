"""A decision redone from what the ledger has of it and from what was published for it (thompson-weights.md).

Pure: the same policy code as serving's, over the posterior and the grid of the logged publication, drawn with the
decision's own uid. What comes out is what was logged, to the last integer, or it is said what differs.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest

from pullarm.domain.admission import Admission, Forced
from pullarm.domain.assignment import Unit, unit_of
from pullarm.domain.cohorts import table
from pullarm.domain.decision import NO_POLICY, UNLISTED, Decision, Reason, unpack_arms
from pullarm.domain.experiment import POLICY_NAMES, POLICY_NUMBERS, Experiment, standing
from pullarm.domain.publication import Published
from pullarm.policies.base import Offer, Policy, Prepared
from pullarm.policies.draw import KERNEL, Choice, choose, integer_weights
from pullarm.policies.fallback import IN_ORDER, ahead, fallback, prepare_places
from pullarm.policies.grid import Grid
from pullarm.policies.posterior import Posterior
from pullarm.policies.registry import build, check

_SERVED = (Reason.ASSIGNED, Reason.SHIPPED)
_LEFT = (Reason.NO_KNOWN_CANDIDATE, Reason.SPOOL_FULL)
"""What may come of a unit that is in the experiment instead; its candidates and the moment say."""


class Verdict(StrEnum):
    """How a decision stands beside its redoing."""

    REPRODUCED = "reproduced"
    DIFFERS = "differs"
    OTHER_KERNEL = "other_kernel"
    """Another version of the arithmetic made it, so its weights and draw are not redone."""
    NOT_LOGGED = "not_logged"
    """Only a hash of its candidates is logged, so its weights and draw cannot be redone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What the first slot was drawn from, for one candidate that could be drawn."""

    weight: float
    """The policy's own probability, before the floor."""
    floored: float
    """After the floor."""
    integer: int
    """What was drawn from: the propensity is this by the sum over all candidates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redone:
    """One decision beside its redoing."""

    verdict: Verdict
    differences: tuple[str, ...]
    """Logged against redone, a line for each; empty unless the verdict is DIFFERS."""
    unit: Unit | None
    """None where the user was erased: of their assignment nothing is left to redo."""
    gate_limit: int
    """The first gate hash outside the traffic."""
    refusal: Reason | None
    """Why targeting, holdouts or groups keep the user out; None where they do not."""
    chooser: int
    """The number of the policy that chose; 0 where control stood in."""
    policy: str
    """Whose choice it was; control's where no policy was asked."""
    params: Mapping[str, float | str]
    candidates: tuple[int, ...]
    """Arm numbers in the caller's order, 0 for an unlisted one; empty where only their hash is logged."""
    scored: tuple[Scored | None, ...]
    """By candidate; None for one that was not scored."""
    slots: tuple[tuple[int, int, int], ...]
    """By slot as redone: arm number, integer weight and total."""


def redo(
    decision: Decision, published: Published, *, kernel: int = KERNEL, erased: bool = False
) -> Redone:
    """Redo a decision from the publication it names; `kernel` is the number of the arithmetic at hand.

    Of an `erased` user the draw is redone, and not the assignment: who they were is gone.
    """
    experiment = published.experiment
    if experiment is None:
        raise ValueError("published without a configuration")
    unit = None if erased else unit_of(experiment.salt, decision.unit)
    admission = Admission(experiment.spec.targeting, experiment.seats)
    refusal = None if erased else admission.refusal(decision.unit, decision.attributes)
    differences = (
        _misassigned(decision, published, experiment, unit, refusal) if unit is not None else []
    )
    candidates = _candidates(decision, experiment, differences)
    chooser = _chooser(decision, experiment, candidates)
    name = POLICY_NAMES[chooser] if chooser else "control"
    scored: tuple[Scored | None, ...] = (None,) * len(candidates)
    slots: tuple[tuple[int, int, int], ...] = ()
    verdict = Verdict.REPRODUCED
    if not candidates and decision.candidates_hash:
        verdict = Verdict.NOT_LOGGED
    elif decision.kernel != kernel:
        verdict = Verdict.OTHER_KERNEL
    else:
        try:
            offered = _offered(decision, published, experiment, candidates, chooser)
            # Before the scoring, because it looks whether these are arms.
            slots = _drawn(offered, decision)
            scored = _scored(offered, candidates)
        except ValueError as error:
            # No decision of ours: its candidates are no arms, or its publication is not sound.
            differences.append(f"it cannot be redone: {error}")
        else:
            differences += _drawn_otherwise(decision, slots)
    return Redone(
        verdict=Verdict.DIFFERS if differences else verdict,
        differences=tuple(differences),
        unit=unit,
        gate_limit=experiment.spec.gate_limit,
        refusal=refusal,
        chooser=chooser,
        policy=name,
        params=check(name, experiment.spec.params_of(name)),
        candidates=candidates,
        scored=scored,
        slots=slots,
    )


def _candidates(
    decision: Decision, experiment: Experiment, differences: list[str]
) -> tuple[int, ...]:
    if decision.all_arms:
        active = tuple(arm.arm_no for arm in experiment.active())
        if len(active) != decision.all_arms:
            differences.append(f"active arms: logged {decision.all_arms}, redone {len(active)}")
        return active
    try:
        return unpack_arms(decision.candidates)
    except struct.error:
        size = len(decision.candidates)
        differences.append(f"candidates: logged {size} bytes, which are no numbers of four each")
        return ()


def _chooser(decision: Decision, experiment: Experiment, candidates: Sequence[int]) -> int:
    forced = _forced(decision, experiment)
    if forced is None:
        return decision.token.acting
    known = any(candidates) or decision.candidates_hash
    return POLICY_NUMBERS.get(forced.policy, NO_POLICY) if known else NO_POLICY


def _forced(decision: Decision, experiment: Experiment) -> Forced | None:
    """What the decision's user was given; None where it was not made so."""
    if decision.token.reason != Reason.FORCED:
        return None
    return experiment.forced_now().get(decision.unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offered:
    """What was chosen from, and by whom."""

    policy: Policy
    prepared: Prepared
    rows: dict[int, int]
    """By row of the prepared posterior, in the caller's order: the place among the candidates."""
    arms: Sequence[int]
    """By place among the candidates: the arm number."""


def _offered(
    decision: Decision,
    published: Published,
    experiment: Experiment,
    candidates: Sequence[int],
    chooser: int,
) -> _Offered:
    if chooser == NO_POLICY:
        control = fallback(experiment.spec.params_of("control"))
        places = list(range(len(candidates)))
        forced = _forced(decision, experiment)
        if forced is not None and forced.arm_id:
            shown = {arm.arm_id: arm.arm_no for arm in experiment.active()}
            first = shown.get(forced.arm_id, UNLISTED)
            control, places = IN_ORDER, ahead(candidates, first)
        prepared = prepare_places(control, len(candidates))
        rows = {place: place for place in places}
        return _Offered(policy=control, prepared=prepared, rows=rows, arms=candidates)
    name = POLICY_NAMES[chooser]
    policy = build(name, experiment.spec.params_of(name))
    grid_no = published.head.grid_no
    grid = Grid.from_bytes(grid_no, published.grid) if grid_no and published.grid else None
    prepared = policy.prepare(Posterior.from_bytes(published.posteriors[chooser]), grid=grid)
    rows = {arm - 1: place for place, arm in enumerate(candidates) if arm != UNLISTED}
    return _Offered(policy=policy, prepared=prepared, rows=rows, arms=candidates)


def _scored(offered: _Offered, candidates: Sequence[int]) -> tuple[Scored | None, ...]:
    found: list[Scored | None] = [None] * len(candidates)
    if offered.rows:
        offer, floor = Offer.of(list(offered.rows)), offered.policy.floor
        weights = offered.prepared.weights(offer)
        integers = integer_weights(weights, floor)
        share = floor / len(weights)
        for row, weight, integer in zip(
            offer.rows.tolist(), weights.tolist(), integers.tolist(), strict=True
        ):
            floored = (1.0 - floor) * weight + share
            found[offered.rows[row]] = Scored(weight=weight, floored=floored, integer=integer)
    return tuple(found)


def _drawn(offered: _Offered, decision: Decision) -> tuple[tuple[int, int, int], ...]:
    """The slots as drawn again; how many were asked for is not logged, and changes none of those that were filled."""
    filled = len(decision.token.arms)
    choices: list[Choice] = []
    if offered.rows and filled:
        rows, uid = list(offered.rows), decision.token.uid
        choices = choose(offered.policy, offered.prepared, rows, slots=filled, uid=uid)
    return tuple(
        (offered.arms[offered.rows[choice.row]], choice.weight, choice.total) for choice in choices
    )


def _drawn_otherwise(decision: Decision, redone: Sequence[tuple[int, int, int]]) -> list[str]:
    logged = zip_longest(decision.token.arms, decision.weights, decision.totals)
    return [
        f"slot {slot}: logged {_said(was)}, redone {_said(now)}"
        for slot, (was, now) in enumerate(zip_longest(logged, redone), start=1)
        if was != now
    ]


def _said(slot: tuple[int, int, int] | None) -> str:
    return "nothing" if slot is None else f"arm {slot[0]} with weight {slot[1]} of {slot[2]}"


def _misassigned(
    decision: Decision,
    published: Published,
    experiment: Experiment,
    unit: Unit,
    refusal: Reason | None,
) -> list[str]:
    """Where the logged unit, bucket, policy or reason is not what salt, table and state of the experiment say."""
    token = decision.token
    due = _due(decision, experiment, unit, refusal)
    if published.halt is not None:  # a halt is obeyed ahead of the version that says so
        due.add((standing(published.halt), NO_POLICY))
    cohorts = table(experiment.spec.cohorts, experiment.cohorts)
    compared = [
        ("bucket", decision.bucket, unit.bucket),
        ("unit hash", token.unit_hash, unit.hash),
        ("cohort", token.cohort, cohorts.number(decision.attributes)),
        ("configuration", decision.config_no, experiment.config_no),
        ("acting policy", token.acting, token.assigned if token.reason in _SERVED else 0),
    ]
    found = [f"{what}: logged {was}, redone {now}" for what, was, now in compared if was != now]
    if (token.reason, token.assigned) not in due:
        said = " or ".join(
            sorted(f"{reason.name} {POLICY_NAMES[policy]}" for reason, policy in due)
        )
        logged = f"{Reason(token.reason).name} {POLICY_NAMES[token.assigned]}"
        found.append(f"reason and assigned policy: logged {logged}, redone {said}")
    return found


def _due(
    decision: Decision, experiment: Experiment, unit: Unit, refusal: Reason | None
) -> set[tuple[Reason, int]]:
    """The reasons and assigned policies that this version of the experiment can give this unit."""
    standing_now = standing(experiment.state)
    if decision.unit in experiment.forced_now():
        return {(Reason.FORCED, NO_POLICY)}
    if standing_now not in _SERVED:
        return {(standing_now, NO_POLICY)}
    if refusal is None and unit.gate >= experiment.spec.gate_limit:
        refusal = Reason.NOT_IN_TRAFFIC
    if refusal is not None:
        return {(refusal, NO_POLICY)}
    assigned = experiment.shipped or experiment.buckets[unit.bucket]
    return {(reason, assigned) for reason in (standing_now, *_LEFT)}
