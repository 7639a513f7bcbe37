"""One line of an exported decision log: what one slot of a decision was drawn from, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KindCredit:
    """What the rewards of one kind came to; times and count are of those that count (`pullarm.domain.credit`)."""

    credit: float
    """What they are worth under the experiment's aggregation, 0 to 1; 0 where the decision was voided."""
    booked: float
    """How much of it the posterior has."""
    count: int
    first_at: datetime | None
    """When the earliest of them occurred; None where all were retracted."""
    last_at: datetime | None
    """When the latest of them occurred."""
    received_at: datetime | None
    """When the latest of them arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """One slot of one decision. Times are UTC and whole milliseconds."""

    decision_uid: str
    """32 hex digits; the first twelve are the milliseconds of `decided_at`."""
    decided_at: datetime
    experiment: str
    """Its id."""
    allocation_epoch: int
    config_no: int
    pub_no: int
    """The posterior version that was drawn from."""
    kernel: int
    unit: str
    bucket: int
    assigned: str
    """The policy the unit belongs to, by name; `none` outside the experiment."""
    acting: str
    """The policy that chose; `none` where control stood in."""
    reason: str
    slot: int
    """From 1."""
    arm_no: int
    """0 for a candidate that was no arm."""
    arm_id: str | None
    """None for a candidate that was no arm."""
    weight: int
    total: int
    propensity: float
    """weight / total."""
    floor: float | None
    """The share of the acting policy that is spread equally over the candidates left; None where there is none."""
    candidates: tuple[str | None, ...] | None
    """Arm ids in the caller's order, None for one that was no arm; all None where only their hash is logged, and where
    all were offered of a version that the ledger does not have."""
    candidate_nos: tuple[int, ...] | None
    """Their arm numbers, which the hash is made of."""
    candidates_hash: str
    """16 hex digits, see `pullarm.domain.decision.hash_of`; empty where it is not known what they were."""
    attributes: Mapping[str, str]
    request_id: str
    voided: bool
    """It was logged and never answered."""
    excluded: bool
    """A rebuild left it out: its rewards are worth nothing, and an estimate should do without it."""
    window_hours: float | None
    """The longest attribution window from the decision's version on: rewards are judged by the version they meet.
    None, as is the floor, where the ledger has no such version: it was restored to an earlier state."""
    rewards: Mapping[str, KindCredit] = field(default_factory=dict)
    """By kind; a kind that brought none is missing."""


OWN = tuple(each.name for each in fields(LogRow) if each.name != "rewards")
"""Columns that every log has."""
OF_KIND = tuple(each.name for each in fields(KindCredit))
"""What every kind of reward has a column of, see `of_kind`."""
OPTIONAL = ("arm_id", "floor", "candidates", "candidate_nos", "window_hours")
"""Those of a log's own that may be null; those of kinds may all be."""


def of_kind(kind: str, name: str) -> str:
    """The column of a field of `KindCredit`."""
    return f"reward_{kind}_{name}"
