"""What each action makes of an experiment, whoever takes it: a person, the schedule or a guardrail."""

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import datetime
from math import isclose

from pullarm.domain.admission import Forced
from pullarm.domain.assignment import MICRO, allocate
from pullarm.domain.audit import Difference
from pullarm.domain.cohorts import declared
from pullarm.domain.errors import Conflict, invalid
from pullarm.domain.experiment import (
    Catalogue,
    Experiment,
    Spec,
    State,
    next_state,
    policy_weights,
)
from pullarm.domain.ports import Revision

Plan = Callable[[Experiment], Revision | None]
"""What becomes of an experiment; None where nothing does. Raises Conflict where the action is not legal."""


def taking(action: str) -> Plan:
    """An action that does no more than lead to another state."""

    def plan(experiment: Experiment) -> Revision | None:
        state = next_state(action, experiment.state)
        return None if state is experiment.state else changed(experiment, action, state)

    return plan


def starting(now: datetime) -> Plan:
    """Let a draft take its traffic."""

    def plan(experiment: Experiment) -> Revision:
        state = next_state("start", experiment.state)
        _refuse_without_arms(experiment, experiment.spec)
        end = experiment.spec.end_at
        if end is not None and end <= now:
            raise Conflict(f"end_at is {end.isoformat()}, which has passed; give it another one")
        return changed(experiment, "start", state)

    return plan


def resumed(experiment: Experiment) -> Revision:
    """Let it go on after a rollback, as shipped where it was, in a new guard epoch: what spoke for the rollback is not
    held against it again."""
    running = next_state("resume", experiment.state)
    state = State.SHIPPED if experiment.spec.shipped else running
    revision = changed(experiment, "resume", state)
    return replace(revision, guard_epoch=experiment.guard_epoch + 1)


def shipping(policy: str) -> Plan:
    """Give a policy to everybody whom the experiment is for: all traffic, in new epochs."""

    def plan(experiment: Experiment) -> Revision | None:
        state, spec = next_state("ship", experiment.state), experiment.spec
        if experiment.state is state and spec.default_policy == policy:
            return None
        if policy not in {each.name for each in spec.policies}:
            names = ", ".join(each.name for each in spec.policies)
            raise invalid("policy", f"is {policy!r}, which the experiment does not have: {names}")
        revision = changed(experiment, "ship", state)
        return replace(
            revision,
            spec=replace(spec, default_policy=policy, traffic_pct=1.0, shipped=True),
            allocation_epoch=experiment.allocation_epoch + 1,
            guard_epoch=experiment.guard_epoch + 1,
        )

    return plan


def edited(experiment: Experiment, spec: Spec) -> Revision | None:
    """Give an experiment another specification, and as few buckets as that takes another policy."""
    state = next_state("edit", experiment.state)
    if spec == experiment.spec:
        return None
    if state is State.RUNNING:
        _refuse_without_arms(experiment, spec)
        if spec.group != experiment.spec.group:
            raise invalid(
                "group", "is fixed once the experiment has started: its users would be others"
            )
    missing = {each.policy for each in experiment.forced} - {p.name for p in spec.policies} - {""}
    if missing:
        raise invalid(
            "policies", f"users are forced to {', '.join(sorted(missing))}; free them first"
        )
    new_epoch = int(starts_allocation_epoch(experiment.spec, spec))
    return Revision(
        action="edit",
        spec=spec,
        state=state,
        buckets=allocate(policy_weights(spec), experiment.buckets),
        allocation_epoch=experiment.allocation_epoch + new_epoch,
        guard_epoch=experiment.guard_epoch + new_epoch,
    )


def starts_allocation_epoch(before: Spec, after: Spec) -> bool:
    """Whether a change makes figures from before and after it incomparable; a pure traffic change does not."""

    def essence(spec: Spec) -> object:
        return {p.name: dict(p.params) for p in spec.policies}, spec.reward

    old, new = _shares(before), _shares(after)
    # 0.1 to 0.3 is 1 to 3, though not to the last bit.
    same = old.keys() == new.keys() and all(isclose(old[p], new[p], rel_tol=1e-9) for p in old)
    return not same or essence(before) != essence(after)


def _shares(spec: Spec) -> dict[int, float]:
    weights = policy_weights(spec)
    total = sum(weights.values())
    return {policy: weight / total for policy, weight in weights.items()}


def forcing(experiment: Experiment, forced: tuple[Forced, ...]) -> Revision | None:
    """Give these users, and nobody else, a policy or an arm."""
    revision = changed(experiment, "force", next_state("edit", experiment.state))
    return None if forced == experiment.forced else replace(revision, forced=forced)


def changed(experiment: Experiment, action: str, state: State) -> Revision:
    """The experiment in another state, and otherwise as it is."""
    return Revision(
        action=action,
        spec=experiment.spec,
        state=state,
        buckets=experiment.buckets,
        allocation_epoch=experiment.allocation_epoch,
        guard_epoch=experiment.guard_epoch,
    )


def become(experiment: Experiment, change: Revision, now: datetime) -> Experiment:
    """The version that a change makes. Raises InvalidInput where it lists more cohorts than there are numbers for."""
    starts = change.state is State.RUNNING and experiment.started_at is None
    ends = change.state is State.STOPPED and experiment.end_at is None
    ships = change.state is State.SHIPPED
    return replace(
        experiment,
        state=change.state,
        spec=change.spec,
        buckets=change.buckets,
        allocation_epoch=change.allocation_epoch,
        guard_epoch=change.guard_epoch,
        arms=experiment.arms if change.arms is None else change.arms,
        cohorts=declared(change.spec.cohorts, experiment.cohorts),
        forced=experiment.forced if change.forced is None else change.forced,
        config_no=experiment.config_no + 1,
        updated_at=now,
        started_at=now if starts else experiment.started_at,
        end_at=None if ships else now if ends else experiment.end_at,
    )


def difference(before: Experiment | None, after: Experiment) -> Difference:
    """The fields of an experiment that are not what they were: as they were, and as they are. New, it has all."""
    if before is None:
        return {}, {"id": after.id, "key": after.key, **_values(after), "arms": after.arms}
    was, became = _values(before), _values(after)
    names = [name for name in became if was[name] != became[name]]
    old, new = {name: was[name] for name in names}, {name: became[name] for name in names}
    # Arms are never taken away: those that were there are the first ones.
    kept = list(zip(before.arms, after.arms, strict=False))
    added = after.arms[len(before.arms) :]
    if restated := [pair for pair in kept if pair[0] != pair[1]]:
        old["arms"] = [arm for arm, _ in restated]
    if restated or added:
        new["arms"] = [*(arm for _, arm in restated), *added]
    if numbered := after.cohorts[len(before.cohorts) :]:
        new["cohort_numbers"] = numbered
    return old, new


def _values(experiment: Experiment) -> dict[str, object]:
    versioned = ("state", "allocation_epoch", "guard_epoch")
    spec = experiment.spec
    return {
        **{name: getattr(experiment, name) for name in versioned},
        **{each.name: getattr(spec, each.name) for each in fields(Spec)},
        # Without salts and names of users: what is in the audit trail stays there.
        "holdouts": {seat.group: seat.holdout_micro / MICRO for seat in experiment.seats},
        "forced": sorted(each.policy or each.arm_id for each in experiment.forced),
    }


def _refuse_without_arms(experiment: Experiment, spec: Spec) -> None:
    if spec.catalogue is Catalogue.CLOSED and not experiment.active():
        raise Conflict(
            "a closed catalogue without active arms has nothing to show; add some (POST .../arms), or PATCH it "
            'with {"catalogue": "open"}, which makes arms of the candidates it sees'
        )
