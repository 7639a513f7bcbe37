"""What somebody has to be told."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Level(StrEnum):
    """How much it matters; a channel takes alerts from one level on."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for what matters least."""
        return list(Level).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One message."""

    key: str
    """What it is about: the same is not told again within some hours."""
    level: Level
    title: str
    text: str
    experiment: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An alert that a channel still has to take."""

    alert_no: int
    at: datetime
    alert: Alert
    attempts: int
    """How often it was tried in vain."""
