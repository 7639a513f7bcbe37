"""Erasing a user: what stands for them from then on, and what was rewritten."""

import secrets
from dataclasses import dataclass, field

from pullarm.domain.assignment import BUCKETS
from pullarm.domain.experiment import Experiment
from pullarm.domain.rollup import GROUPS, group_of

_UNSIGNED = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """What an erased user is called; drawn at random, so that it leads back to nobody."""

    unit: str
    unit_hash: int
    """Of the same group of users, whose sums are kept."""
    bucket: int
    """Of the same policy."""
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    """Under which ids of requests and rewards are hashed: the same stay the same. Kept nowhere."""


def stand_in(experiment: Experiment, unit_hash: int, bucket: int) -> StandIn:
    """Draw one for the user of this hash and bucket."""
    drawn = group_of(unit_hash) + GROUPS * secrets.randbelow(_UNSIGNED // GROUPS)
    policy = experiment.buckets[bucket]
    alike = [each for each in range(BUCKETS) if experiment.buckets[each] == policy]
    return StandIn(
        unit=f"erased-{secrets.token_hex(8)}",
        unit_hash=drawn - (secrets.randbelow(2) << 63),
        bucket=secrets.choice(alike),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What was rewritten of a user."""

    known_as: str
    """What their decisions are logged under from now on."""
    decisions: int
    rewards: int
    """Those with ids of their own, of users erased before as well: they may have come since."""
    forced: bool
    """Whether they were given a policy or an arm; they are not any more."""
    archived_days: int
    """Of how many removed days there are files of the experiment, out of which workers take them."""
