"""How much of a posterior is published: old hours count less, and pending decisions by how much is known of them.

The ledger's sums are whole and by hour of decision. A publication weighs each hour: a reward counts `settled`, a serve
without a reward `pending`. With integers throughout, whoever weighs the same hours gets the same posterior to the last
millionth, in whatever order. UCB1 knows no pending decisions: what it counts is how often it chose an arm, and it would
choose one that does not count yet, and no other, until it does. Its hours are weighed by their age alone.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from struct import iter_unpack, pack
from typing import NamedTuple, Self

from pullarm.domain.assignment import MICRO
from pullarm.domain.decision import GRACE_MS
from pullarm.domain.experiment import POLICY_NUMBERS, Delay, Learning, Spec

HOUR_MS = 3_600_000
_STEPS_MS = {Delay.WEIGHTED: HOUR_MS // 12}
_HALVINGS = 21
"""After so many half-lives a weight is less than half a millionth."""
_POINT = "<iiii"
COUNTS_AT_ONCE = POLICY_NUMBERS["ucb"]
"""The policy whose serves count at once under any treatment of delay."""

Reached = Callable[[float, float], float]
"""(least age, greatest age) in milliseconds -> the share, 0 to 1, of the rewards of such decisions that have come."""


def all_reached(least_ms: float, greatest_ms: float) -> float:
    """Every reward has come: what is taken for true while nothing is known of their delays."""
    del least_ms, greatest_ms
    return 1.0


class Point(NamedTuple):
    """What decisions count from one hour on, until the next point's."""

    hour: int
    """Of decision, since 1970."""
    kept: int
    """What is left of a decision by its age, in millionths."""
    settled: int
    """What a reward counts, in millionths; and the serve that earned it."""
    pending: int
    """What a serve without a reward counts, in millionths; at most `settled`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighting:
    """The weights of one step of time."""

    number: int
    """From 1 in each experiment."""
    as_of_ms: int
    """When its step began."""
    until_ms: int
    """When its step ends: from then on a publication needs the next one."""
    points: tuple[Point, ...] = field(repr=False)
    """Ascending by hour; the first stands for all hours before the next."""

    @classmethod
    def from_bytes(cls, number: int, as_of_ms: int, until_ms: int, data: bytes) -> Self:
        """From `to_bytes`."""
        points = tuple(Point(*each) for each in iter_unpack(_POINT, data))
        return cls(number=number, as_of_ms=as_of_ms, until_ms=until_ms, points=points)

    def to_bytes(self) -> bytes:
        """The points as little-endian int32 quadruples."""
        return b"".join(pack(_POINT, *point) for point in self.points)

    def at(self, hour: int) -> Point:
        """The point that an hour of decision falls to."""
        return self.points[max(0, bisect_right(self.points, hour, key=_hour) - 1)]

    def like(self, other: Self, last_hour: int) -> bool:
        """Whether both count all hours up to this one alike."""
        hours = {point.hour for point in (*self.points, *other.points) if point.hour <= last_hour}
        return all(self.at(hour)[1:] == other.at(hour)[1:] for hour in hours)

    def sums(self, policy: int, hour: int, serves: int, rewards_micro: int) -> tuple[int, int]:
        """What an hour's sums come to, settled and pending, in millionths of millionths; see `published`."""
        _, kept, *otherwise = self.at(hour)
        settled, pending = (kept, kept) if policy == COUNTS_AT_ONCE else otherwise
        return rewards_micro * settled, (serves * MICRO - rewards_micro) * pending


WHOLE = Weighting(number=0, as_of_ms=0, until_ms=0, points=(Point(0, MICRO, MICRO, MICRO),))
"""Every hour counts whole."""


def _hour(point: Point) -> int:
    return point.hour


def published(settled: int, pending: int) -> tuple[int, int]:
    """A cell's (serves, rewards) in millionths from the sums of its hours, rounded half up, once each.

    Rewards never exceed serves, because what is pending is counted beside them.
    """
    rewards = (settled + MICRO // 2) // MICRO
    return rewards + (pending + MICRO // 2) // MICRO, rewards


def step(learning: Learning, now_ms: int) -> tuple[int, int] | None:
    """When the present step of time began and ends, in milliseconds; None where everything counts whole at once.

    A delay distribution moves the weights of a young hour within minutes; all else happens by the hour.
    """
    if learning.delay is Delay.PROVISIONAL and learning.half_life_hours is None:
        return None
    length_ms = _STEPS_MS.get(learning.delay, HOUR_MS)
    began_ms = now_ms // length_ms * length_ms
    return began_ms, began_ms + length_ms


def weighs(spec: Spec) -> tuple[Learning, float]:
    """What of a configuration the weights depend on."""
    return spec.learning, spec.reward.window_hours


def weights(
    spec: Spec, began_ms: int, until_ms: int, first_hour: int, reached: Reached
) -> tuple[Point, ...]:
    """The points of a step, from the first hour of which there is anything; equal neighbours are one.

    A half-life halves what a decision counts for every so many hours that its own is past. Pending ones of an hour
    count what `reached` says of their ages, taken at the end of the step and as spread evenly over the hour: a failure
    is never counted for less than is due, which would be optimism about the young; beyond window and grace they count
    whole, also where the window was longer before and rewards are known that took so long. At close they count from
    when the window of the hour's last decision has closed, and their rewards with them.
    """
    learning, window_ms = spec.learning, round(spec.reward.window_hours * HOUR_MS)
    present, half_life = began_ms // HOUR_MS, learning.half_life_hours
    mature = ceil((window_ms + GRACE_MS) / HOUR_MS) + 1
    span = mature if half_life is None else max(mature, ceil(_HALVINGS * half_life))
    points: list[Point] = []
    for hour in range(min(present, max(first_hour, present - span)), present + 1):
        kept = 1.0 if half_life is None else 2.0 ** (-(present - hour) / half_life)
        begun = share = 1.0
        match learning.delay:
            case Delay.WEIGHTED if present - hour < mature:
                share = reached(max(0, until_ms - (hour + 1) * HOUR_MS), until_ms - hour * HOUR_MS)
            case Delay.AT_CLOSE if (hour + 1) * HOUR_MS + window_ms > began_ms:
                begun = 0.0
        counted = [round(MICRO * each) for each in (kept, kept * begun, kept * begun * share)]
        point = Point(hour if points else 0, *counted)
        if not points or points[-1][1:] != point[1:]:
            points.append(point)
    return tuple(points)
