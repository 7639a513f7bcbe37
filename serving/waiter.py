"""Those that wait for their events to be kept."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

from pullarm.domain.decision import Decision, Reward, TraceContext

if TYPE_CHECKING:
    from pullarm.otel import Trace


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


Logged = Sequence[Decision] | Sequence[Reward]
Answer = TypeVar("Answer")


class Waiter(ABC, Generic[Answer]):
    """One request between its arrival and its answer."""

    __slots__ = (
        *("future", "kept", "logged", "parts", "since_ms", "since_s"),
        *("size", "trace", "tried"),
    )

    def __init__(self, size: int, trace: "Trace | None" = None) -> None:
        self.size = size
        """Bytes that it holds until its events are made."""
        self.trace = trace
        """Of the request, where it is followed."""
        self.since_s = time.perf_counter()
        self.since_ms = 0
        """When it joined the event log, by the clock of events."""
        self.logged: Logged = ()
        """What `make` made."""
        self.parts = 0
        """How many entries that are not stored yet its events are in."""
        self.kept: Kept | None = None
        """Where those are that are stored; None while none are."""
        self.tried = False
        """Whether its events may be in the stream or the spool."""
        self.future: asyncio.Future[Answer]
        """What its caller awaits, from when it joins the event log. Its own: a shared one lets a single cancelled call
        fail its whole batch."""

    @abstractmethod
    def make(self) -> Logged:
        """The events that have to be kept before the answer is given. Must be quick; what it raises is the answer."""

    @abstractmethod
    def finish(self, kept: Kept) -> Answer:
        """The answer. Must be quick; what it raises is the answer."""

    def traces(self) -> Sequence[TraceContext]:
        """What its events carry where it is followed: once for each experiment that they are of."""
        trace = self.trace
        if trace is None:
            return ()
        numbers = {event.token.experiment for event in self.logged}
        return [TraceContext(number, trace.parent) for number in sorted(numbers)]

    def begin(self) -> bool:
        """Make the events; whether there are any to wait for."""
        try:
            self.logged = self.make()
        except Exception as error:  # whatever it is, it concerns this request and no other
            self.failed(error)
            return False
        if not self.logged:
            self.finished(Kept.ACKNOWLEDGED)
        return bool(self.logged)

    def stored(self, kept: Kept) -> None:
        """One more of the entries with its events is kept."""
        if self.kept is not Kept.SPOOLED:
            self.kept = kept
        self.parts -= 1
        if self.parts == 0:
            if self.trace is not None:
                self.trace.step("append", {"pullarm.durability": self.kept.value})
            self.finished(self.kept)

    def finished(self, kept: Kept) -> None:
        """All are kept: answer."""
        if self.future.done():
            return
        try:
            self.future.set_result(self.finish(kept))
        except Exception as error:
            self.failed(error)

    def failed(self, error: Exception) -> None:
        """There is no answer."""
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # looked at, should the caller be cancelled before it is


class Made(Waiter[Kept]):
    """Waits for events that are made already; the answer is where they are."""

    __slots__ = ()

    def __init__(self, logged: Logged, size: int, trace: "Trace | None" = None) -> None:
        super().__init__(size, trace)
        self.logged = logged

    def make(self) -> Logged:
        """They are there."""
        return self.logged

    def finish(self, kept: Kept) -> Kept:
        """Where they are."""
        return kept


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
