"""What serving decides and callers report, as the ledger keeps it.

These are tuples because the hot path makes one for every request and the event stream packs them as they are.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from hashlib import blake2b
from struct import pack, unpack
from typing import NamedTuple


class Reason(IntEnum):
    """Why a decision came out as it did; the numbers are those of the contract."""

    ASSIGNED = 1
    NOT_IN_TRAFFIC = 2
    NOT_RUNNING = 3
    ROLLED_BACK = 4
    NO_KNOWN_CANDIDATE = 5
    NO_SNAPSHOT = 6
    SPOOL_FULL = 7
    SHIPPED = 8
    NOT_TARGETED = 9
    IN_HOLDOUT = 10
    NOT_IN_GROUP_SHARE = 11
    FORCED = 12


class RewardStatus(IntEnum):
    """The edge's judgement of a reward; the fold never judges again. The numbers are those of the contract."""

    ACCEPTED = 1
    LATE = 2
    NOT_IN_EXPERIMENT = 3
    MALFORMED_REQUEST = 4
    MALFORMED_ID = 5
    FORGED_ID = 6
    EXPERIMENT_GONE = 7
    UNKNOWN_ARM = 8
    UNKNOWN_KIND = 9
    INVALID_VALUE = 10
    MISSING_REWARD_ID = 11
    IN_FUTURE = 12
    BEFORE_DECISION = 13

    @property
    def kept(self) -> bool:
        """Whether such a reward is a row of the ledger; the others are refused, and only counted."""
        return self <= RewardStatus.NOT_IN_EXPERIMENT


NO_EXPERIMENT = 0
"""The experiment number of rewards whose decision id tells none."""

NO_POLICY = 0
"""The policy number of decisions that no policy made."""

UNLISTED = 0
"""The arm number of a candidate that is no arm of the experiment."""

ARM_BYTES = 4
"""What an arm number takes where many are packed."""

SKEW_MS = 60_000
"""By how much a caller's clock may be off."""
GRACE_MS = 3_600_000
"""How long after the attribution window a reward may still arrive."""


class Token(NamedTuple):
    """What a decision id says of its decision: enough for a reward to be folded before the decision itself."""

    uid: bytes
    """16 bytes: 48 bits of milliseconds since 1970, 80 random bits. The ledger's key and the draw's."""
    experiment: int
    allocation_epoch: int
    assigned: int
    """The policy the unit belongs to; 0 for none."""
    acting: int
    """The policy that decided; 0 for none."""
    reason: int
    learn_slots: int
    """How many of the first slots the posterior learns from."""
    unit_hash: int
    cohort: int
    """0 is none, or other than those that are told apart."""
    arms: list[int]
    """The arm number in each slot; 0 for an unlisted candidate."""


class Decision(NamedTuple):
    """One logged selection."""

    token: Token
    config_no: int
    pub_no: int
    kernel: int
    unit: str
    bucket: int
    candidates: bytes
    """Arm numbers in the caller's order, see `pack_arms`; empty where only their hash is logged."""
    weights: list[int]
    """Per slot, the integer weight of what was drawn."""
    totals: list[int]
    """Per slot, the sum of weights it was drawn from."""
    attributes: dict[str, str]
    request_id: str
    unlisted: int
    """How many candidates were no arms of the experiment."""
    newcomers: list[str]
    """Of an open catalogue: the unlisted candidates that are to become arms."""
    candidates_hash: int = 0
    """Signed 64 bits over the arm numbers, where they are not logged themselves."""
    all_arms: int = 0
    """How many arms were active, where the caller named no candidates and all of those were offered."""
    withheld: int = 0
    """How many candidates were left out because they are paused or retired arms."""
    new_cohort: str = ""
    """The attribute whose value is to become a cohort; empty where it is one, or there is no room for it."""


class Reward(NamedTuple):
    """One reported outcome."""

    token: Token
    reward_uid: bytes
    """16 bytes like a decision's uid, by time of receipt: one for every call, so that redelivery changes nothing."""
    slot: int
    kind: str
    reward_id: str
    source: str
    value: float
    credit_micro: int
    """What the value is worth, 0 to 1,000,000."""
    feeds: bool
    """Whether this kind feeds the posterior."""
    retract: bool
    status: int
    occurred_ms: int


class ServingMinute(NamedTuple):
    """How one life of a serving process did in one minute, for the units of one policy."""

    process: str
    sequence: int
    """Grows with every report; the one with the largest stands."""
    experiment: int
    policy: int
    """Assigned; 0 outside the experiment."""
    minute: int
    """Since 1970."""
    calls: int
    errors: int
    """Answers that were not OK, and fallbacks because of a fault."""
    over_100ms: int
    over_120ms: int
    sketch: dict[int, int]
    """Latencies: bucket -> count of a LatencySketch."""
    rewards: int = 0
    """Reports of rewards that were answered, whatever their status."""
    refused: Mapping[int, int] = {}
    """Those of them that are not kept: RewardStatus -> count."""


class Span(NamedTuple):
    """Numbers of events that one life of a serving process stored, or told its callers it did not; and how it is."""

    process: str
    first: int
    """A life numbers its events from 0."""
    end: int
    """The number after the last."""
    until_ms: int = 0
    """Its events of before this moment have numbers below `end`; 0 where it says nothing of the kind."""
    spooled: bool = True
    """Whether some of them may wait in a spool."""
    ended: bool = False
    """Whether it has ended and left no spool: what is still to come is in the stream."""


class TraceContext(NamedTuple):
    """A request that is traced, and an experiment that its events are of."""

    experiment: int
    """0 where they are of none."""
    parent: str
    """The span that goes on with them, as a `traceparent` of the W3C's Trace Context."""


class Batch(NamedTuple):
    """A set of events as the stream carries it; the order inside means nothing."""

    decisions: list[Decision]
    rewards: list[Reward]
    voids: list[Token]
    """Decisions that were logged and never answered."""
    minutes: Sequence[ServingMinute] = ()
    """How serving did."""
    spans: Sequence[Span] = ()
    """The numbers of these events: what is missing between those that have come is on its way, or lost."""
    traces: Sequence[TraceContext] = ()
    """Of those of the requests that are traced."""

    def events(self) -> int:
        """How many events there are."""
        return len(self.decisions) + len(self.rewards) + len(self.voids) + len(self.minutes)


def pack_arms(arms: Sequence[int]) -> bytes:
    """Arm numbers as they are logged: four bytes each, little-endian. Raises struct.error beyond 32 bits."""
    return pack(f"<{len(arms)}I", *arms)


def unpack_arms(packed: bytes) -> tuple[int, ...]:
    """The arm numbers that were packed; raises struct.error where the length is no multiple of four."""
    return unpack(f"<{len(packed) // ARM_BYTES}I", packed)


def hash_of(candidates: bytes) -> int:
    """What is logged of packed arm numbers where they are not logged themselves."""
    return int.from_bytes(blake2b(candidates, digest_size=8).digest(), "little", signed=True)


def uid_ms(uid: bytes) -> int:
    """The milliseconds since 1970 at which a uid was made."""
    return int.from_bytes(uid[:6], "big")


def make_uid(now_ms: int, random_bits: bytes) -> bytes:
    """A uid from a time in milliseconds and 10 random bytes."""
    return now_ms.to_bytes(6, "big") + random_bits
