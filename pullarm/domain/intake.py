"""Up to when the ledger is complete, told from what serving says of the events it numbers (docs/decisions/0020)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

SETTLE_MS = 15_000
"""How long what is appended to the stream may take to be folded while others go ahead: longer than an entry that a
killed worker held. So far the watermark stays behind what processes say of themselves."""
SILENCE_MS = 7 * 24 * 3_600_000
"""How long a process that is not heard of holds back the watermark: as long as a spool file may wait."""


class Backlog(NamedTuple):
    """What of the event stream waits to be folded."""

    entries: int
    used_bytes: int
    oldest_s: float
    """Since the first of them was appended; 0 where none waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What has come of the events that one life of a serving process numbered, and what it said of itself."""

    process: str
    numbered: int
    """The number after the highest that has come."""
    gaps: tuple[tuple[int, int], ...]
    """First number, and the one after the last, of each stretch that has not come: it is on its way, or lost."""
    lost: int = 0
    """Events that have not come and were given up; they are in none of the gaps."""
    until_ms: int | None = None
    """All its events of before have come, or were given up; None where it has not said so yet."""
    spooled: bool = True
    """Whether some may wait in a spool, as far as it said last."""
    ended_ms: int | None = None
    """When the ledger heard that it has ended and left no spool; None while it has not."""
    heard_ms: int = 0
    """When the ledger last heard of it, by the clock of whoever folded that."""
    waited_for: bool = True
    """False where it was given up, or the ledger began a new life, and it was not heard of since."""

    @property
    def missing(self) -> int:
        """How many events have not come, though later ones have."""
        return sum(end - first for first, end in self.gaps)

    def holds(self, as_of_ms: int) -> bool:
        """Whether more of its events may come."""
        if not self.waited_for or self.heard_ms < as_of_ms - SILENCE_MS:
            return False
        settled = self.ended_ms is not None and self.ended_ms <= as_of_ms - SETTLE_MS
        return bool(self.gaps) or not settled


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """Up to when all events have come."""

    at_ms: int | None
    """All of before have; None where that cannot be said of any moment."""
    process: str
    """The process that holds it back most; "" where none does."""


def watermark(lives: Sequence[Intake], as_of_ms: int) -> Watermark:
    """The minimum over the processes of which more may come; where there are none, the last that any of them said."""
    holding = [life for life in lives if life.holds(as_of_ms)]
    if not holding:
        said = [life.until_ms for life in lives if life.until_ms is not None]
        return Watermark(at_ms=max(said) - SETTLE_MS if said else None, process="")
    last = min(holding, key=lambda life: -1 if life.until_ms is None else life.until_ms)
    at_ms = None if last.until_ms is None else last.until_ms - SETTLE_MS
    return Watermark(at_ms=at_ms, process=last.process)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The ledger of one experiment as of a fold, and up to when it is complete. All times are aware."""

    fold_no: int
    watermark: datetime | None
    """All events of before are in it; None where that cannot be said of any moment."""
    as_of: datetime
    """When it was made."""
    process: str = ""
    """The process that held the watermark back most; "" where none did."""

    def complete_until(self, moment: datetime) -> bool:
        """Whether everything before this moment is in it: only then may it be judged by."""
        return self.watermark is not None and moment <= self.watermark
