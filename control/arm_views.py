"""What the REST API answers of arms."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pullarm.domain.assignment import MICRO
from pullarm.domain.experiment import Arm


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmView:
    """One version of an arm."""

    id: str
    label: str
    arm_no: int
    version: int
    payload_hash: str
    status: str
    prior_serves: float
    """Pseudo-counts that every policy starts from beside its prior."""
    prior_rewards: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmList:
    """Arms, by number."""

    arms: tuple[ArmView, ...]


def arm_list(arms: Iterable[Arm]) -> ArmList:
    """Arms as they are listed."""
    return ArmList(arms=tuple(map(arm_view, arms)))


def arm_view(arm: Arm) -> ArmView:
    """One version of an arm."""
    return ArmView(**arm_fields(arm))


def arm_fields(arm: Arm) -> dict[str, Any]:
    """The fields of a view of it."""
    return {
        "id": arm.arm_id,
        "label": arm.label,
        "arm_no": arm.arm_no,
        "version": arm.version,
        "payload_hash": arm.payload_hash,
        "status": arm.status.value,
        "prior_serves": arm.prior_serves_micro / MICRO,
        "prior_rewards": arm.prior_rewards_micro / MICRO,
    }
