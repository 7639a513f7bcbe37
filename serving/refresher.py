"""Keeps the snapshot new: looks at the board, rebuilds what changed apart from the event loop, swaps one reference."""

import asyncio
import logging
from collections.abc import Callable

from pullarm.domain.errors import Unavailable
from pullarm.domain.ports import Board, BoardIndex
from pullarm.domain.publication import Published
from serving.snapshot import Served, Snapshot, serve

_log = logging.getLogger(__name__)

POLL_S = 0.05
"""How often the board is asked whether anything changed; with the publisher's 0.1 s this bounds the snapshot's age."""
FULL_LOOK_S = 1.0
"""How often every experiment is compared, whatever the board says of changes."""


class Refresher:
    """Owns the process's snapshot."""

    def __init__(self, board: Board, on_complete: Callable[[], None] = lambda: None) -> None:
        self.snapshot = Snapshot()
        self.refused = 0
        """Publications that were not sound; each kept its predecessor."""
        self._board = board
        self._on_complete = on_complete
        self._problems: dict[int, str] = {}
        """Of experiments whose publication is refused; each is told once."""
        self._seen: tuple[str, int] | None = None
        self._looked_at = 0.0
        self._away = False

    async def run(self) -> None:
        """Refresh for ever; the board away only means that the snapshot grows older."""
        while True:
            try:
                await self.refresh()
                if self._away:
                    _log.info("board is back; snapshot is fresh")
                self._away = False
            except Unavailable as error:
                if not self._away:
                    _log.warning("snapshot is not refreshed: %s", error)
                self._away = True
            await asyncio.sleep(POLL_S)

    async def refresh(self) -> None:
        """Take over what changed; an incomplete board changes nothing."""
        index = await self._board.index()
        now = asyncio.get_running_loop().time()
        if not index.complete:
            return
        seen = (index.incarnation, index.change_no)
        if seen == self._seen and now - self._looked_at < FULL_LOOK_S:
            return
        await self._take_over(index)
        self._seen, self._looked_at = seen, now

    async def _take_over(self, index: BoardIndex) -> None:
        # Experiments are never deleted: one the board no longer lists could not be published anew, and is served on.
        served = {
            number: before
            for number, before in self.snapshot.by_number.items()
            if before.head.incarnation == index.incarnation
        }
        for number in index.experiments:
            before = self.snapshot.by_number.get(number)
            now_served = await self._one(number, before)
            if now_served is not None:
                served[number] = now_served
        missing = len(set(index.experiments) - served.keys())
        news = served != dict(self.snapshot.by_number) or missing != self.snapshot.missing
        if news or not self.snapshot.complete:
            first = not self.snapshot.complete
            self.snapshot = Snapshot.of(served, missing)
            if first:
                self._on_complete()

    async def _one(self, number: int, before: Served | None) -> Served | None:
        """The experiment as it is now, or its predecessor where that cannot be taken."""
        try:
            published = await self._board.read(number, before.head if before else None)
            if published is None and before is None and not self.snapshot.complete:
                raise Unavailable(
                    f"experiment {number} is listed and not there; the board was emptied"
                )
            if published is None or _unchanged(published, before):
                return before
            served = await asyncio.to_thread(serve, published, before)
        except ValueError as error:
            self.refused += 1
            if self._problems.get(number) != str(error):
                _log.error(
                    "experiment %s: publication refused, the old one serves on: %s", number, error
                )
            self._problems[number] = str(error)
            return before
        self._problems.pop(number, None)
        return served


def _unchanged(published: Published, before: Served | None) -> bool:
    return before is not None and (published.head, published.halt) == (before.head, before.halt)
