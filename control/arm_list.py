"""Lists of arms: read from JSON or CSV, every problem told at once, and what an experiment's arms become by them."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace

from control.fields import Fields, Problems, shown
from pullarm.domain.arms import MAX_ARMS, Stated, moved, restated
from pullarm.domain.assignment import MICRO
from pullarm.domain.errors import Conflict, InvalidInput, invalid
from pullarm.domain.experiment import Arm, ArmStatus, Experiment, Spec, State
from pullarm.domain.ports import Revision
from pullarm.domain.transitions import Plan, changed

MAX_ID_BYTES = 128
MAX_PRIOR_SERVES = 1e6
"""Pseudo-counts beyond what an experiment would learn itself leave it nothing to learn."""
FIELDS = ("id", "label", "payload_hash", "prior_serves", "prior_rewards", "status")
CHANGEABLE = (State.DRAFT, State.RUNNING, State.ROLLED_BACK, State.SHIPPED)
ACTIONS: Mapping[str, ArmStatus] = {
    "pause": ArmStatus.PAUSED,
    "resume": ArmStatus.ACTIVE,
    "retire": ArmStatus.RETIRED,
}
_STATUSES: Mapping[str, ArmStatus | None] = {status.value: status for status in ArmStatus}
_NUMBERS = ("prior_serves", "prior_rewards")


def from_csv(text: str) -> list[object]:
    """Arms as JSON has them; raises ValueError and csv.Error.

    A first line that has `id` names the columns, of which those that are no fields are left aside; else they are id and
    label.
    """
    rows = [row for row in csv.reader(text.splitlines(), strict=True) if any(row)]
    head = [name.strip().lower() for name in rows[0]] if rows else []
    if "id" in head:
        rows = rows[1:]
    else:
        head = ["id", "label"]
    return [_arm(dict(zip(head, map(str.strip, row), strict=False))) for row in rows]


def _arm(row: Mapping[str, str]) -> dict[str, object]:
    return {name: _value(name, row[name]) for name in FIELDS if row.get(name)}


def _value(name: str, text: str) -> object:
    try:
        return float(text) if name in _NUMBERS else text
    except ValueError:
        return text  # whoever checks it says that it is no number


def read_stated(given: Fields) -> tuple[Stated, ...]:
    """What the field `arms` states: a list of ids or objects."""
    stated: dict[str, Stated] = {}
    for one in given.entries("arms", MAX_ARMS, "id"):
        one.only(FIELDS)
        arm_id = one.text("id", "", limit_bytes=MAX_ID_BYTES)
        each = _read_one(one, arm_id)
        if arm_id in stated:
            one.note("id", f"{shown(arm_id)} is listed twice")
        elif arm_id:
            stated[arm_id] = each
    return tuple(stated.values())


def _read_one(one: Fields, arm_id: str) -> Stated:
    serves = one.number("prior_serves", 0.0, 0.0, MAX_PRIOR_SERVES)
    rewards = one.number("prior_rewards", 0.0, 0.0, MAX_PRIOR_SERVES)
    if rewards > serves:
        one.note("prior_rewards", f"is {rewards:g}, more than prior_serves, {serves:g}")
    return Stated(
        arm_id=arm_id,
        label=one.text("label", "", limit_bytes=512, empty=True),
        payload_hash=one.text("payload_hash", "", limit_bytes=MAX_ID_BYTES, empty=True),
        prior_serves_micro=round(serves * MICRO),
        prior_rewards_micro=round(rewards * MICRO),
        status=one.choice("status", None, _STATUSES),
    )


def agreed(
    arms: Sequence[Arm], stated: Sequence[Stated], spec: Spec, problems: Problems
) -> tuple[Arm, ...]:
    """The arms once what is stated holds; what cannot hold is noted, unless the list itself is at fault."""
    if not any(problem.field.startswith("arms") for problem in problems.found):
        try:
            return restated(arms, stated, spec)
        except InvalidInput as error:
            problems.found += error.problems
    return ()


def read_list(body: object) -> tuple[Stated, ...]:
    """A list of ids or objects, or one of them; raises InvalidInput with every problem."""
    problems = Problems()
    stated = read_stated(Fields({"arms": body if isinstance(body, list) else [body]}, problems))
    problems.raise_if_any()
    if not stated:
        raise invalid("arms", "is empty; give one arm or a list of them")
    return stated


def stating(stated: Sequence[Stated]) -> Plan:
    """Add and move arms, all that is stated or nothing."""

    def plan(experiment: Experiment) -> Revision | None:
        problems = Problems()
        arms = agreed(experiment.arms, stated, experiment.spec, problems)
        problems.raise_if_any()
        return _revision(experiment, "state_arms", arms)

    return plan


def moving(arm_id: str, action: str) -> Plan:
    """Pause, resume or retire one arm."""
    status = ACTIONS[action]
    return lambda experiment: _revision(
        experiment, f"{action}_arm", moved(experiment.arms, arm_id, status)
    )


def _revision(experiment: Experiment, action: str, arms: tuple[Arm, ...]) -> Revision | None:
    if experiment.state not in CHANGEABLE:
        raise Conflict(
            f"cannot change the arms of an experiment that is {experiment.state}; they change while it is "
            f"{', '.join(CHANGEABLE)}"
        )
    if arms == experiment.arms:
        return None
    return replace(changed(experiment, action, experiment.state), arms=arms)
