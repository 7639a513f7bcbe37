"""The event stream in memory: a sink and, for any number of consumers, a source."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count

from pullarm.domain.ports import Entry


class MemoryEvents:
    """One shard of the stream. Idle times are by the given monotonic clock, in seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._numbers = count(1)
        self._unclaimed: deque[Entry] = deque()
        self._claimed: dict[str, tuple[Entry, float]] = {}
        self._arrived = asyncio.Event()

    async def append(self, entry: bytes) -> None:
        """Return once the entry is in the stream."""
        self._unclaimed.append(Entry(f"{next(self._numbers)}-0", entry))
        self._arrived.set()

    async def claim(self, count: int, wait_ms: int) -> list[Entry]:
        """New entries, at most `count`; waits up to wait_ms for the first."""
        if not self._unclaimed:
            self._arrived.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), wait_ms / 1000)
        found = [self._unclaimed.popleft() for _ in range(min(count, len(self._unclaimed)))]
        return self._take(found)

    async def reclaim(self, count: int, idle_ms: int) -> list[Entry]:
        """Entries that a consumer claimed and left unacknowledged for idle_ms."""
        since = self._monotonic() - idle_ms / 1000
        idle = [entry for entry, claimed_at in self._claimed.values() if claimed_at <= since]
        return self._take(idle[:count])

    def _take(self, entries: list[Entry]) -> list[Entry]:
        now = self._monotonic()
        self._claimed.update({entry.id: (entry, now) for entry in entries})
        return entries

    async def acknowledge(self, entries: Sequence[Entry]) -> None:
        """The entries are folded: forget them."""
        for entry in entries:
            self._claimed.pop(entry.id, None)

    async def backlog(self) -> int:
        """Entries not yet acknowledged."""
        return len(self._unclaimed) + len(self._claimed)

    async def clear(self) -> None:
        """Lose everything, as a server that was emptied."""
        self._unclaimed.clear()
        self._claimed.clear()
