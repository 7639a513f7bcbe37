"""What groups of users did, counted anew from the ledger in memory."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from pullarm.domain.decision import Token, uid_ms
from pullarm.domain.rollup import GROUPS, Grain, Span, group_of
from pullarm.statistics.jackknife import GroupSums
from pullarm.storage.memory.experiments import at
from pullarm.storage.memory.ledger import MemoryLedger


class MemoryUserGroups:
    """What groups of users did in the experiments of one ledger."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger

    async def policies(self, experiment: int, span: Span) -> dict[int, GroupSums]:
        """By assigned policy, over the hours that begin in a span; what had no serves is left out."""
        found: dict[int, GroupSums] = {}
        for (policy, _), sums in (await self.cohorts(experiment, span)).items():
            found[policy] = found[policy] + sums if policy in found else sums
        return found

    async def cohorts(
        self, experiment: int, span: Span, *, only: Sequence[int] | None = None
    ) -> dict[tuple[int, int], GroupSums]:
        """By assigned policy and cohort, likewise; of some cohorts only, where they are given."""
        found: defaultdict[tuple[int, int], GroupSums] = defaultdict(_none)
        for token in self._ledger.compared(experiment):
            decided_at = at(uid_ms(token.uid))
            hour = decided_at - (decided_at - at(0)) % Grain.HOUR.width
            if span.since <= hour < span.until and (only is None or token.cohort in only):
                self._add(token, found[token.assigned, token.cohort])
        return dict(found)

    async def timeseries(
        self, experiment: int, span: Span, grain: Grain, *, cohort: int | None = None
    ) -> dict[tuple[datetime, int], GroupSums]:
        """By bucket, hours or days that begin in a span, and assigned policy; of one cohort only, where it is given."""
        found: defaultdict[tuple[datetime, int], GroupSums] = defaultdict(_none)
        for token in self._ledger.compared(experiment):
            decided_at = at(uid_ms(token.uid))
            bucket = decided_at - (decided_at - at(0)) % grain.width
            if span.since <= bucket < span.until and cohort in (None, token.cohort):
                self._add(token, found[bucket, token.assigned])
        return dict(found)

    def _add(self, token: Token, sums: GroupSums) -> None:
        sums.m[group_of(token.unit_hash)] += 1
        sums.c[group_of(token.unit_hash)] += self._ledger.learned(token, 1)


def _none() -> GroupSums:
    return GroupSums(np.zeros(GROUPS, np.int64), np.zeros(GROUPS, np.int64))
