"""How the arms of an experiment change: what is stated of them becomes versions, which are never taken back.

A version of an arm has a number of its own and learns by itself. Of the versions of one id at most the newest is not
retired.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pullarm.domain.errors import Conflict, InvalidInput, NotFound, Problem
from pullarm.domain.experiment import Arm, ArmStatus, Catalogue, Spec

MAX_ARMS = 10_000
"""Of one experiment, those that are not retired."""
MAX_ARM_NUMBERS = 100_000
"""Of one experiment, retired ones included: every posterior has a row for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What somebody says of one arm."""

    arm_id: str
    label: str = ""
    payload_hash: str = ""
    """Empty says nothing of the payload."""
    prior_serves_micro: int = 0
    prior_rewards_micro: int = 0
    status: ArmStatus | None = None
    """None leaves it as it is; a new arm is active."""


def newest(arms: Iterable[Arm]) -> dict[str, Arm]:
    """The newest version of every arm, by id."""
    return {arm.arm_id: arm for arm in arms}


def restated(arms: Sequence[Arm], stated: Sequence[Stated], spec: Spec) -> tuple[Arm, ...]:
    """The arms once all that is stated of them holds; each id is stated once.

    What is not there, or retired, is added; another payload hash than an arm's retires it and opens its next version.
    Raises InvalidInput with every fault, by its place in the list.
    """
    became = {arm.arm_no: arm for arm in arms}
    known, last = newest(arms), len(arms)
    problems: list[Problem] = []
    for place, each in enumerate(stated):
        before = known.get(each.arm_id)
        gone = before is None or before.status is ArmStatus.RETIRED
        if gone and each.status is ArmStatus.RETIRED:
            if before is None:
                problems.append(_problem(place, "status", "is retired, but there is no such arm"))
        elif before is None or gone or _moved_on(before, each):
            last += 1
            became[last] = _opened(last, before, each)
            if before is not None:
                became[before.arm_no] = replace(before, status=ArmStatus.RETIRED)
        else:
            problems += _misstated(place, before, each)
            became[before.arm_no] = replace(
                before,
                label=each.label or before.label,
                payload_hash=before.payload_hash or each.payload_hash,
                status=each.status or before.status,
            )
    after = tuple(became.values())
    problems += _too_many(arms, after, spec)
    if problems:
        raise InvalidInput(*problems)
    return after


def moved(arms: Sequence[Arm], arm_id: str, status: ArmStatus) -> tuple[Arm, ...]:
    """The arms with one of them in another status; raises NotFound, and Conflict where it is retired."""
    arm = newest(arms).get(arm_id)
    if arm is None:
        raise NotFound(f"the experiment has no arm {arm_id!r}")
    if arm.status is ArmStatus.RETIRED and status is not ArmStatus.RETIRED:
        raise Conflict(
            f"arm {arm_id!r} is retired for good; add it again, as version {arm.version + 1}, which learns anew"
        )
    return tuple(replace(each, status=status) if each is arm else each for each in arms)


def first_seen(
    arm_ids: Iterable[str], spec: Spec, *, known: Collection[str], live: int, last: int
) -> list[Arm]:
    """The arms that an open catalogue makes of unlisted candidates, as far as there is room.

    `known` are the ids of all arms, `live` is how many are not retired, `last` the highest arm number.
    """
    room = min(spec.max_arms - live, MAX_ARM_NUMBERS - last)
    if spec.catalogue is not Catalogue.OPEN or room <= 0:
        return []
    fresh = [arm_id for arm_id in dict.fromkeys(arm_ids) if arm_id not in known]
    return [
        Arm(arm_no=arm_no, arm_id=arm_id) for arm_no, arm_id in enumerate(fresh[:room], last + 1)
    ]


def statuses_at(
    brought: Mapping[int, int], moves: Iterable[tuple[int, int, ArmStatus]], config_no: int
) -> dict[int, ArmStatus]:
    """The status of every arm in one version of the configuration, by arm number.

    `brought` has the version that brought each arm, `moves` are (version, arm number, status) in the order of versions.
    An arm is active unless it was moved.
    """
    found = {arm_no: ArmStatus.ACTIVE for arm_no, since in brought.items() if since <= config_no}
    found.update((arm_no, status) for since, arm_no, status in moves if since <= config_no)
    return found


def _moved_on(before: Arm, stated: Stated) -> bool:
    """Whether another payload is to be shown; a hash that was never stated may be that of any."""
    return (
        bool(before.payload_hash and stated.payload_hash)
        and before.payload_hash != stated.payload_hash
        and stated.status is not ArmStatus.RETIRED
    )


def _opened(arm_no: int, before: Arm | None, stated: Stated) -> Arm:
    paused = before is not None and before.status is ArmStatus.PAUSED
    return Arm(
        arm_no=arm_no,
        arm_id=stated.arm_id,
        label=stated.label or (before.label if before else ""),
        version=before.version + 1 if before else 1,
        payload_hash=stated.payload_hash,
        # What was paused is not shown again because its payload was changed.
        status=stated.status or (ArmStatus.PAUSED if paused else ArmStatus.ACTIVE),
        prior_serves_micro=stated.prior_serves_micro,
        prior_rewards_micro=stated.prior_rewards_micro,
    )


def _misstated(place: int, before: Arm, stated: Stated) -> Iterable[Problem]:
    counts = (stated.prior_serves_micro, stated.prior_rewards_micro)
    if any(counts) and counts != (before.prior_serves_micro, before.prior_rewards_micro):
        yield _problem(
            place,
            "prior_serves",
            f"is fixed, with prior_rewards, for version {before.version} of {stated.arm_id!r}; "
            "another payload_hash opens a new version",
        )


def _too_many(before: Sequence[Arm], after: Sequence[Arm], spec: Spec) -> Iterable[Problem]:
    if len(after) == len(before):
        return
    live = sum(arm.status is not ArmStatus.RETIRED for arm in after)
    limit = spec.max_arms if spec.catalogue is Catalogue.OPEN else MAX_ARMS
    name = "max_arms" if spec.catalogue is Catalogue.OPEN else "the limit"
    if live > limit:
        yield Problem("arms", f"would be {live}, more than {name}, {limit}; retire some")
    if len(after) > MAX_ARM_NUMBERS:
        yield Problem(
            "arms",
            f"would be {len(after)} with all their versions, retired ones included; the limit is "
            f"{MAX_ARM_NUMBERS}, so go on with a new experiment",
        )


def _problem(place: int, name: str, detail: str) -> Problem:
    return Problem(f"arms[{place}].{name}", detail)
