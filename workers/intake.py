"""Tells of events that serving stored and that have not come."""

import asyncio
import logging
from collections import Counter

from pullarm.domain.errors import Unavailable
from pullarm.domain.ports import Ledger

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 15.0
"""Longer than an entry takes that a killed worker held: a gap that stands from one look to the next is news."""

GIVE_UP_AFTER_LOOKS = 40
"""Ten minutes: where it stood at so many, and its process had nothing in a spool, nothing can bring it any more."""

_Gap = tuple[str, int, int]


class IntakeWatch:
    """Looks for gaps in the numbers of events that have come, and gives up those that are lost."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen: set[_Gap] = set()
        self._told: set[_Gap] = set()
        self._nowhere: Counter[_Gap] = Counter()
        """At how many looks in a row a gap stood that no spool could fill."""

    async def run(self) -> None:
        """Look for ever; a ledger that is away is waited for."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.look()
            except Unavailable as error:
                _log.debug("gaps are looked for later: %s", error)

    async def look(self) -> None:
        """Tell of gaps that were there at the last look too, each once."""
        lives = await self._ledger.intake()
        gaps = {(each.process, *gap): each.spooled for each in lives for gap in each.gaps}
        standing = gaps.keys() & self._seen
        for process, first, end in sorted(standing - self._told):
            _log.error(
                "%d events of %s (numbers %d to %d) were stored and have not come: they are lost, unless a spool "
                "has them",
                *(end - first, process, first, end - 1),
            )
        self._seen, self._told = set(gaps), standing
        nowhere = [gap for gap in standing if not gaps[gap]]
        self._nowhere = Counter({gap: self._nowhere[gap] + 1 for gap in nowhere})
        for gap in [gap for gap, looks in self._nowhere.items() if looks >= GIVE_UP_AFTER_LOOKS]:
            process, first, end = gap
            await self._ledger.give_up(*gap)
            _log.error(
                "%d events of %s (numbers %d to %d) are lost: no spool has them",
                *(end - first, process, first, end - 1),
            )
