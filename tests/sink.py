"""An event stream that does what a test wants."""

import asyncio

from pullarm.domain.decision import Batch
from pullarm.domain.errors import Unavailable
from pullarm.storage import events


class Sink:
    """A stream whose entries can be held back, refused, or stored without its saying so."""

    def __init__(self) -> None:
        self.entries: list[Batch] = []
        self.sizes: list[int] = []
        self.tries = 0
        self.refuses = self.stores_in_silence = False
        self.takes = 10**9
        """How many entries it takes before it refuses."""
        self.open = asyncio.Event()
        self.open.set()

    async def append(self, entry: bytes) -> None:
        self.tries += 1
        await self.open.wait()
        await asyncio.sleep(0)
        refused = self.refuses or len(self.entries) >= self.takes
        if not refused or self.stores_in_silence:
            self.entries.append(events.unpack(entry))
            self.sizes.append(len(entry))
        if refused:
            raise Unavailable("Redis is away: refused")

    @property
    def stored(self) -> Batch:
        return events.merge(self.entries)
