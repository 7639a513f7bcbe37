"""What is told of the adaptively valid rates of an experiment's arms."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCell:
    """Sums of one arm under one policy, over first slots of decisions of one allocation epoch that offered it."""

    allocation_epoch: int
    policy: int
    """Acting."""
    arm_no: int
    counts: tuple[int, int, int, int]
    """Decisions that offered it, serves, rewarded serves, credit in millionths."""
    scored: tuple[float, float, float, float, float]
    """See `pullarm.statistics.arm_rates.ArmSums`."""


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
class ArmRates:
    """The data cut, and the sums as of then."""

    decided_before: datetime | None
    """Decisions made before are in the sums; None where none is yet."""
    mature_before: datetime | None
    """Up to when they could be, when it was last looked; None where that cannot be said."""
    counted: int
    """Decisions in the sums."""
    left_out: LeftOut
    cells: tuple[ArmCell, ...]
    """By epoch, policy and arm."""
