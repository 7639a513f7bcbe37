"""What a worker has done since it began: plain counters, which its log and its `/metrics` tell."""

from dataclasses import dataclass, field
from typing import NamedTuple

from pullarm.domain.ports import FoldResult


@dataclass(slots=True)
class Folded:
    """By the consumer."""

    folds: int = 0
    seconds: float = 0.0
    """That these took, the longest waits for locks and disks among them."""
    decisions: int = 0
    """Of these and of the rewards, those that were new."""
    rewards: int = 0
    refused: int = 0
    """Tries that the ledger refused."""
    quarantined: int = 0
    """Entries and events that were set aside."""

    def add(self, result: FoldResult, seconds: float) -> None:
        """One fold."""
        self.folds += 1
        self.seconds += seconds
        self.decisions += result.decisions
        self.rewards += result.rewards


class Update(NamedTuple):
    """The newest publication of an experiment, and how many there were since they were taken."""

    pub_no: int
    fold_no: int
    times: int


@dataclass(slots=True)
class Removed:
    """By retention."""

    days: int = 0
    failures: int = 0
    """Tries that were given up: archive, tables or posterior were not as they have to be."""


@dataclass(slots=True)
class Published:
    """By the publisher."""

    publications: int = 0
    seconds: float = 0.0
    """From the ledger to the board."""
    updates: dict[str, Update] = field(default_factory=dict)
    """By experiment id, since they were taken."""

    def add(self, experiment_id: str, pub_no: int, fold_no: int, seconds: float) -> None:
        """One publication."""
        self.publications += 1
        self.seconds += seconds
        earlier = self.updates.get(experiment_id)
        times = earlier.times if earlier else 0
        self.updates[experiment_id] = Update(pub_no, fold_no, times + 1)

    def take(self) -> dict[str, Update]:
        """The updates since the last time."""
        taken, self.updates = self.updates, {}
        return taken
