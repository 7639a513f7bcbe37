"""Who may take part in an experiment, before its own traffic share is looked at, and whom it treats apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pullarm.domain.assignment import BUCKETS, gate_limit, unit_of
from pullarm.domain.decision import Reason
from pullarm.domain.targeting import Targeting, compiled

MAX_FORCED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Forced:
    """A user who is given a policy or an arm to look at; what comes of it is never learnt from, nor analysed."""

    user_id: str
    policy: str = ""
    """Its name; empty where an arm is given."""
    arm_id: str = ""
    """Shown first where it is among the candidates; empty where a policy is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """An experiment's place in a group of experiments."""

    group: str
    salt: bytes = field(repr=False)
    """The group's, under which its users are hashed."""
    holdout_micro: int = 0
    """Millionths of all users that are in no experiment of the group."""
    ranges: tuple[tuple[int, int], ...] | None = None
    """Of the group's 10,000 buckets, from the first to before the second: whom the experiment may have. None: all."""

    @property
    def buckets(self) -> int:
        """How many there are of them."""
        if self.ranges is None:
            return BUCKETS
        return sum(end - first for first, end in self.ranges)


class Admission:
    """One version's conditions, ready to be asked for every request."""

    def __init__(self, targeting: Targeting, seats: Sequence[Seat]) -> None:
        self._targets = compiled(targeting) if targeting else None
        self._seats = [(seat.salt, gate_limit(seat.holdout_micro), _own(seat)) for seat in seats]

    @property
    def open(self) -> bool:
        """Whether it lets everybody in."""
        return self._targets is None and not self._seats

    def refusal(self, user_id: str, attributes: Mapping[str, str]) -> Reason | None:
        """Why this user may not take part; None where they may."""
        if self._targets is not None and not self._targets(attributes):
            return Reason.NOT_TARGETED
        for salt, held_out, own in self._seats:
            unit = unit_of(salt, user_id)
            if unit.gate < held_out:
                return Reason.IN_HOLDOUT
            if not own[unit.bucket]:
                return Reason.NOT_IN_GROUP_SHARE
        return None


def _own(seat: Seat) -> bytes:
    """By bucket of the group: whether it is the experiment's."""
    own = bytearray(BUCKETS)
    for first, end in ((0, BUCKETS),) if seat.ranges is None else seat.ranges:
        own[first:end] = b"\1" * (end - first)
    return bytes(own)
