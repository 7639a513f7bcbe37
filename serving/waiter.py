"""Those that wait for their events to be kept."""

import asyncio
from enum import StrEnum

from pullarm.domain.errors import PullarmError


class Kept(StrEnum):
    """Where a request's events are when it is answered."""

    ACKNOWLEDGED = "acknowledged"
    SPOOLED = "spooled"
    BUFFERED = "buffered"
    NOWHERE = "nowhere"
    """There was no room: control's choice, which is not logged."""


class Waiter:
    """One request's share of the entries that carry its events."""

    __slots__ = ("future", "kept", "left", "since", "tried")

    def __init__(self, future: asyncio.Future[None], left: int, since: float) -> None:
        self.future = future
        self.left = left
        self.since = since
        self.kept = Kept.ACKNOWLEDGED
        self.tried = False
        """Whether any of its events may be in the stream or the spool."""

    def stored(self, kept: Kept) -> None:
        if kept is Kept.SPOOLED:
            self.kept = kept
        self.left -= 1
        if self.left == 0 and not self.future.done():
            self.future.set_result(None)

    def failed(self, error: PullarmError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


async def within(waited: "asyncio.Future[None]", time_s: float) -> bool:
    """Whether it is done in time; what asyncio.wait does for any number of futures costs several times as much."""
    loop = asyncio.get_running_loop()
    turn = loop.create_future()

    def now(_: object = None) -> None:
        if not turn.done():
            turn.set_result(None)

    waited.add_done_callback(now)
    timer = loop.call_later(time_s, now)
    try:
        await turn
    finally:
        timer.cancel()
        waited.remove_done_callback(now)
    return waited.done()
