"""Tells of events that serving stored and that have not come."""

import asyncio
import logging

from pullarm.domain.errors import Unavailable
from pullarm.domain.ports import Ledger

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 15.0
"""Longer than an entry takes that a killed worker held: a gap that stands from one look to the next is news."""

_Gap = tuple[str, int, int]


class IntakeWatch:
    """Looks for gaps in the numbers of events that have come."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen: set[_Gap] = set()
        self._told: set[_Gap] = set()

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
        gaps = {(each.process, *gap) for each in await self._ledger.intake() for gap in each.gaps}
        standing = gaps & self._seen
        for process, first, end in sorted(standing - self._told):
            _log.error(
                "%d events of %s (numbers %d to %d) were stored and have not come: they are lost, unless a spool "
                "has them",
                *(end - first, process, first, end - 1),
            )
        self._seen, self._told = gaps, standing
