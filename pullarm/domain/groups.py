"""Exclusion groups: experiments of which a user is in one at most, and holdouts, whose users are in none.

A group has 10,000 buckets of its own, by a hash under its own salt. An experiment of the group reserves a share of them
until it is stopped or archived. What it has it keeps: the others' reservations and its own larger ones leave it where
it is. A second hash under the same salt says who is held out. The group `all` is every experiment's, and nothing is
reserved in it: it is there for its holdout.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from pullarm.domain.admission import Seat
from pullarm.domain.assignment import BUCKETS
from pullarm.domain.errors import invalid
from pullarm.domain.experiment import Spec, State

ALL = "all"
FREEING = (State.STOPPED, State.ARCHIVED)
"""What an experiment reserves is free in these states."""
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

Ranges = tuple[tuple[int, int], ...]
"""Ascending and apart: the first bucket, and the one after the last, of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group of experiments."""

    name: str
    salt: bytes = field(repr=False)
    holdout_micro: int = 0
    """Millionths of all users that are in none of its experiments."""
    created_at: datetime


def seat_in(group: Group, share: float, before: Seat | None, others: Mapping[str, Seat]) -> Seat:
    """An experiment's place in a group beside the others, by their ids; raises InvalidInput where there is no room.

    `before` is the place it has in it already: a larger one contains it, a smaller one is its beginning.
    """
    wanted = max(1, round(share * BUCKETS))
    own = _buckets(before.ranges or () if before else ())[:wanted]
    taken = {bucket for seat in others.values() for bucket in _buckets(seat.ranges or ())}
    free = sorted(set(range(BUCKETS)) - taken.union(own))
    missing = wanted - len(own)
    if missing > len(free):
        told = ", ".join(f"{name} {seat.buckets / BUCKETS:g}" for name, seat in others.items())
        raise invalid(
            "group_share",
            f"is {share:g}, and {(len(own) + len(free)) / BUCKETS:g} of group {group.name!r} is free: {told} are "
            "reserved until those are stopped or archived",
        )
    ranges = _ranges(sorted([*own, *free[:missing]]))
    return Seat(group=group.name, salt=group.salt, holdout_micro=group.holdout_micro, ranges=ranges)


def seats(
    spec: Spec,
    before: Sequence[Seat],
    groups: Mapping[str, Group],
    others: Mapping[str, Seat],
) -> tuple[Seat, ...]:
    """The seats of an experiment that becomes this; `others` are those of its group, `groups` it and that of all.

    Raises InvalidInput where there is no such group, or no room in it.
    """
    kept = held_out(groups[ALL], ())
    if not spec.group:
        return kept
    group = groups.get(spec.group)
    if group is None:
        raise invalid(
            "group", f"there is no group {spec.group!r}; make it first (POST /api/groups)"
        )
    own = next((seat for seat in before if seat.group == spec.group), None)
    return *kept, seat_in(group, spec.group_share, own, others)


def held_out(group: Group, seats: Iterable[Seat]) -> tuple[Seat, ...]:
    """An experiment's seats under the group's present holdout; that of all experiments comes first."""
    if group.name != ALL:
        return tuple(
            replace(seat, holdout_micro=group.holdout_micro) if seat.group == group.name else seat
            for seat in seats
        )
    own = tuple(seat for seat in seats if seat.group != ALL)
    if not group.holdout_micro:
        return own
    return Seat(group=ALL, salt=group.salt, holdout_micro=group.holdout_micro), *own


def _buckets(ranges: Ranges) -> list[int]:
    return [bucket for first, end in ranges for bucket in range(first, end)]


def _ranges(buckets: list[int]) -> Ranges:
    """Of ascending buckets."""
    found: list[tuple[int, int]] = []
    for bucket in buckets:
        if found and found[-1][1] == bucket:
            found[-1] = found[-1][0], bucket + 1
        else:
            found.append((bucket, bucket + 1))
    return tuple(found)
