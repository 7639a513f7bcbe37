"""Un-learning: which of an experiment's rows the ledger is to be read without, and what a rebuild changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

Sums = Mapping[tuple[int, int], tuple[int, int]]
"""(policy, arm) -> (serves, rewards in millionths)."""
Weighed = Mapping[tuple[int, int], tuple[int, int]]
"""(policy, arm) -> (serves, rewards), both in millionths, under the weights of hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """Rows to be read as if they had never come: those that meet every condition that is not None.

    An excluded reward is worth nothing. An excluded decision is as good as voided: it teaches nothing, and nor do its
    rewards. Without any condition nothing is excluded.
    """

    source: str | None = None
    """Rewards of this source, and no decisions."""
    from_at: datetime | None = None
    """Decided, or received, from this moment on."""
    to_at: datetime | None = None
    """Decided, or received, before this moment."""
    until: datetime | None = None
    """Brought by the folds after the last one that was committed before this moment, up to the rebuild."""

    @property
    def empty(self) -> bool:
        """Whether there is no condition."""
        return self == Exclusion()

    def takes_decision(self, decided_at: datetime) -> bool:
        """Whether a decision of this moment is excluded, as far as `until` does not say."""
        return not self.empty and self.source is None and self._covers(decided_at)

    def takes_reward(self, source: str, received_at: datetime) -> bool:
        """Whether a reward is excluded by itself, as far as `until` does not say."""
        return not self.empty and self.source in (None, source) and self._covers(received_at)

    def _covers(self, moment: datetime) -> bool:
        return (self.from_at is None or moment >= self.from_at) and (
            self.to_at is None or moment < self.to_at
        )


class Restoration(NamedTuple):
    """Read the ledger again with what a rebuild left out."""

    rebuild_no: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild changed, or would change."""

    rebuild_no: int
    """From 1, for each experiment."""
    fold_no: int
    """The ledger as of which `before` and `after` were compared."""
    before: Sums = field(repr=False)
    after: Sums = field(repr=False)
    weighed_before: Weighed = field(repr=False)
    """As the newest publication weighs the hours, without the arms' pseudo-counts."""
    weighed_after: Weighed = field(repr=False)
    credits: int
    """How many credits (of a decision, slot and kind of reward) changed."""
    held_ms: int = field(default=0, compare=False)
    """For how long folds of the experiment waited while it was swapped in."""

    @property
    def changed(self) -> list[tuple[int, int]]:
        """(policy, arm) of the cells that are not what they were."""
        cells = sorted(self.before.keys() | self.after.keys())
        nothing = (0, 0)
        return [c for c in cells if self.before.get(c, nothing) != self.after.get(c, nothing)]


class PastRebuild(NamedTuple):
    """One line of an experiment's rebuilds."""

    rebuild_no: int
    fold_no: int
    at: datetime
    actor: str
    note: str
    source: str | None
    from_at: datetime | None
    to_at: datetime | None
    folds: tuple[int, int] | None
    """First and last fold whose rows are left out."""
    restored: int | None
    """The rebuild that it took back."""
    lifted_fold: int | None
    """The fold from which on what it left out is read again."""
