"""Reservations in a group are disjoint, grow without moving anybody, and fit or say why not."""

from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import pytest

from pullarm.domain.admission import Seat
from pullarm.domain.assignment import BUCKETS
from pullarm.domain.errors import InvalidInput
from pullarm.domain.groups import ALL, Group, held_out, seat_in, seats
from tests.builders import experiment

GROUP = Group(
    name="g", salt=b"s" * 16, holdout_micro=50_000, created_at=datetime(2026, 1, 1, tzinfo=UTC)
)
EVERYBODY = replace(GROUP, name=ALL, holdout_micro=0)


def buckets(seat: Seat) -> set[int]:
    return {bucket for first, end in seat.ranges or () for bucket in range(first, end)}


def test_reservations_stay_disjoint_and_keep_whom_they_have() -> None:
    random = Random(5)
    held: dict[str, Seat] = {}
    refused = freed = 0
    for step in range(300):
        name = f"exp_{random.randrange(8)}"
        others = {other: seat for other, seat in held.items() if other != name}
        if random.random() < 0.2 and name in held:
            del held[name]
            freed += 1
            continue
        share, before = random.randrange(1, 4_001) / BUCKETS, held.get(name)
        try:
            seat = seat_in(GROUP, share, before, others)
        except InvalidInput:
            refused += 1
            reserved = sum(map(len, map(buckets, others.values())))
            assert share * BUCKETS > BUCKETS - reserved
            continue
        assert seat.buckets == len(buckets(seat)) == round(share * BUCKETS), step
        assert not buckets(seat).intersection(*[set()], *map(buckets, others.values()))
        assert all(not buckets(seat) & buckets(other) for other in others.values())
        if before is not None:
            smaller, larger = sorted([buckets(before), buckets(seat)], key=len)
            assert smaller <= larger
        held[name] = seat
    assert refused > 5
    assert freed > 5


def test_no_room_names_who_has_it() -> None:
    first = seat_in(GROUP, 0.7, None, {})
    with pytest.raises(
        InvalidInput, match=r"group_share: is 0.4, and 0.3 of group 'g' is free: exp_a 0.7"
    ):
        seat_in(GROUP, 0.4, None, {"exp_a": first})


def test_seats_of_an_experiment() -> None:
    spec = experiment("control").spec
    assert seats(spec, (), {ALL: EVERYBODY}, {}) == ()
    holding = {ALL: replace(EVERYBODY, holdout_micro=10_000)}
    (everybody,) = seats(spec, (), holding, {})
    assert (everybody.group, everybody.holdout_micro, everybody.ranges) == (ALL, 10_000, None)
    grouped = replace(spec, group="g", group_share=0.25)
    _, own = seats(grouped, (), {**holding, "g": GROUP}, {})
    assert (own.group, own.holdout_micro, own.buckets) == ("g", 50_000, 2_500)
    with pytest.raises(InvalidInput, match="group: there is no group 'g'"):
        seats(grouped, (), holding, {})


def test_holdouts_change_apart_from_reservations() -> None:
    own = seat_in(GROUP, 0.25, None, {})
    raised = held_out(replace(GROUP, holdout_micro=100_000), (own,))
    assert raised == (replace(own, holdout_micro=100_000),)
    both = held_out(replace(EVERYBODY, holdout_micro=7), raised)
    assert [seat.group for seat in both] == [ALL, "g"]
    assert held_out(replace(EVERYBODY, holdout_micro=8), both)[0].holdout_micro == 8
    assert held_out(EVERYBODY, both) == raised
