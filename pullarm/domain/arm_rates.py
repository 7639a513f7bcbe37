"""What the adaptively valid rates of an experiment's arms are of."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Decisions that are in no sums, because the weights they were drawn from cannot be worked out again."""

    hashed: int
    """Only a hash of the candidates is logged."""
    other_kernel: int
    """Another version of the arithmetic made them."""
    unpublished: int
    """The ledger has no such publication, or cannot work out its posterior any more."""
    differing: int
    """What is logged is not what comes out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatesCut:
    """Which decisions are in the sums that rates come from."""

    decided_before: datetime | None
    """Decisions made before are in the sums; None where none is yet."""
    mature_before: datetime | None
    """Up to when they could be, when it was last looked; None where that cannot be said."""
    counted: int
    """Decisions in the sums."""
    left_out: LeftOut
