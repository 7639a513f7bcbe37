"""What is asked of an experiment's log beside its sums, and what is answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionFilter:
    """Which decisions are meant: those that every given field holds for."""

    since: datetime | None = None
    until: datetime | None = None
    """The first moment that is left out."""
    policy: int | None = None
    """Assigned."""
    arms: tuple[int, ...] | None = None
    """One of these arm numbers in one of the slots."""
    cohort: int | None = None
    bucket: int | None = None


EVERYTHING = DecisionFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What one slot showed."""

    arm_no: int
    weight: int
    total: int
    credits: Mapping[str, int]
    """By kind, in millionths: what its rewards are worth; a kind that brought none is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent:
    """One decision as a log of events lists it."""

    uid: bytes
    decided_at: datetime
    allocation_epoch: int
    config_no: int
    pub_no: int
    unit: str
    bucket: int
    cohort: int
    assigned: int
    acting: int
    reason: int
    attributes: Mapping[str, str]
    request_id: str
    voided: bool
    slots: tuple[Shown, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Some events, newest first, and where the next page goes on."""

    events: tuple[LoggedEvent, ...]
    next: bytes | None
    """The uid that all further events come before; None where there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingCounts:
    """How serving did in one stretch of time for the units of one policy."""

    begins_at: datetime
    policy: int
    """Assigned; 0 outside the experiment."""
    calls: int
    errors: int
    over_100ms: int
    over_120ms: int
    sketch: Mapping[int, int] = field(repr=False)
    """Of a LatencySketch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """A stretch of an experiment's life in which its figures are comparable."""

    allocation_epoch: int
    guard_epoch: int
    config_no: int
    """The version that began it."""
    began_at: datetime
    action: str
    state: str
    traffic_pct: float
    buckets: bytes = field(repr=False)
