"""Those that wait for their events to be kept."""

import asyncio
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

from pullarm.domain.decision import Decision, Reward


class Durability(StrEnum):
    """What an answer waits for."""

    ACKNOWLEDGED = "acknowledged"
    """That its events are in the stream, or in the spool while the stream is away."""
    BUFFERED = "buffered"
    """Nothing: a process that is killed loses what it has not stored yet."""


class Kept(StrEnum):
    """Where a request's events are when it is answered."""

    ACKNOWLEDGED = "acknowledged"
    SPOOLED = "spooled"
    BUFFERED = "buffered"
    NOWHERE = "nowhere"
    """There was no room: control's choice, which is not logged."""


Logged = Sequence[Decision | Reward]


class Waiter:
    """One request: what makes its events, what makes its answer of them, and its share of the entries they are in."""

    __slots__ = ("_finish", "_kept", "_left", "future", "logged", "make", "since", "tried")

    def __init__(self, make: Callable[[], Logged], finish: Callable[[Kept], object]) -> None:
        loop = asyncio.get_running_loop()
        self.make = make
        self.logged: Logged = ()
        """What `make` made."""
        self.future: asyncio.Future[Any] = loop.create_future()
        """Its own: a shared one lets a single cancelled call fail its whole batch."""
        self.since = loop.time()
        self.tried = False
        """Whether any of its events may be in the stream or the spool."""
        self._finish = finish
        self._left = 0
        self._kept = Kept.ACKNOWLEDGED

    def begin(self) -> bool:
        """Make the events; whether there are any to wait for."""
        try:
            self.logged = self.make()
        except Exception as error:  # whatever it is, it concerns this request and no other
            self.failed(error)
            return False
        self._left = len(self.logged)
        if not self.logged:
            self.finished(Kept.ACKNOWLEDGED)
        return bool(self.logged)

    def stored(self, kept: Kept) -> None:
        """One more of its events is kept."""
        if kept is Kept.SPOOLED:
            self._kept = kept
        self._left -= 1
        if self._left == 0:
            self.finished(self._kept)

    def finished(self, kept: Kept) -> None:
        """All are kept: answer."""
        if self.future.done():
            return
        try:
            self.future.set_result(self._finish(kept))
        except Exception as error:
            self.failed(error)

    def failed(self, error: Exception) -> None:
        """There is no answer."""
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
