"""How a serving process is: the figures of one moment, and what they mean for whoever sends it requests."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pullarm import watching

MAX_AGE_S = 5.0
"""A snapshot older than this has missed several beats of the workers."""
MAX_SILENCE_S = 900.0
"""For how long requests are answered, though a stop or rollback would not be heard."""
_MOST_NAMED = 10


class Status(StrEnum):
    """Whether the process should get requests."""

    READY = "ready"
    DEGRADED = "degraded"
    """It answers, and not all is as it should be."""
    UNREADY = watching.UNREADY


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Selections of one experiment and policy since the process began."""

    count: int
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """The process's spool."""

    waiting_bytes: int = 0
    max_bytes: int = 0
    waiting_entries: int = 0
    written: int = 0
    """Entries since the process began."""
    torn: int = 0
    """Bytes cut off behind the last whole entry of a segment."""
    damaged: int = 0
    """Entries that could not be read back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """What a serving process can say of itself, from plain counters; taken in whatever thread asks."""

    complete: bool
    """Whether there is a complete snapshot, and the tokens where callers need one."""
    experiments: int
    missing: int
    """Published experiments that cannot be served."""
    snapshot_age_s: float
    contact_age_s: float
    """Since the board was last reached and complete."""
    refused: int
    """Unsound publications since the process began."""
    problems: Mapping[int, str]
    """What is wrong with those that stand, by experiment number."""
    draining: bool
    durability: str
    """The mode the process was started with."""
    stream_trouble: str | None
    """Why the event stream takes nothing, where it does not."""
    events_full: str | None
    """Why events are refused, where they are."""
    events_waiting: int
    events_waiting_bytes: int
    slow_acknowledgements: int
    """Entries the stream did not acknowledge within the budget, since the process began."""
    voided: int
    """Decisions taken back because nobody was shown them."""
    lost: int
    """Events that found no room anywhere."""
    spool: Spooled
    signing_key: int
    """What new decision ids are signed with."""
    keys: tuple[int, ...]
    """What they are verified with, ascending."""
    calls: Mapping[tuple[str, str], Calls]
    """By experiment id and assigned policy, in the order in which they were first seen."""
    latencies: Mapping[str, Mapping[int, int]]
    """By assigned policy, `LatencySketch.counts` of the milliseconds that selections took since the process began."""
    decided: int
    """Requests that were decided, and the seconds this took: assignment, weights and draw."""
    deciding_s: float
    rewards: Mapping[str, int]
    """Answered rewards by status, the refused ones among them."""
    refusals: Mapping[tuple[str, str], int]
    """Calls answered with an error, by method and gRPC status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether the process should get requests, and why not, or not quite."""

    status: Status
    reasons: list[str] = field(default_factory=list)

    @property
    def serving(self) -> bool:
        """What load balancers are told."""
        return self.status is not Status.UNREADY


def readiness(vitals: Vitals, max_silence_s: float = MAX_SILENCE_S) -> Readiness:
    """Judge a process; the same for `/readyz` and for gRPC's health service.

    A process that has not reached the board for max_silence_s answers still, but an operator's stop or rollback
    would not reach it. So it asks for its requests to be sent elsewhere, and lets them come if there is nowhere else.
    """
    if reasons := _unready(vitals, max_silence_s):
        return Readiness(status=Status.UNREADY, reasons=reasons)
    reasons = _degraded(vitals)
    return Readiness(status=Status.DEGRADED if reasons else Status.READY, reasons=reasons)


def _unready(vitals: Vitals, max_silence_s: float) -> list[str]:
    reasons = []
    if vitals.draining:
        reasons.append("the process is stopping")
    if not vitals.complete:
        reasons.append("no complete snapshot yet; do Redis and a worker run?")
    elif vitals.contact_age_s > max_silence_s:
        reasons.append(
            f"the board was not reached for {vitals.contact_age_s:.0f} s, and a halt would not be heard; "
            f"at most {max_silence_s:.0f} s (PULLARM_MAX_SILENCE_S)"
        )
    return reasons


def _degraded(vitals: Vitals) -> list[str]:
    reasons = []
    if vitals.snapshot_age_s > MAX_AGE_S:
        reasons.append(f"the snapshot is {vitals.snapshot_age_s:.0f} s old; does a worker run?")
    if vitals.stream_trouble is not None:
        reasons.append(f"events are not stored in the stream: {vitals.stream_trouble}")
    if vitals.events_full is not None:
        reasons.append(f"events are refused: {vitals.events_full}")
    if vitals.spool.waiting_entries:
        reasons.append(f"{vitals.spool.waiting_entries} entries wait in the spool")
    if vitals.missing:
        reasons.append(f"{vitals.missing} published experiments cannot be served")
    reasons += [
        f"experiment {number}: publication refused: {problem}"
        for number, problem in sorted(vitals.problems.items())[:_MOST_NAMED]
    ]
    if (more := len(vitals.problems) - _MOST_NAMED) > 0:
        reasons.append(f"publications of {more} more experiments are refused")
    return reasons
