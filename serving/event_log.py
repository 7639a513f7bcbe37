"""Group commit: the events of all requests in flight are one stream entry, and each request waits for its own.

While the stream is away or slow, entries go to the process's spool instead and from there into the stream once it is
back. One that gets there twice changes nothing in the ledger.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from pullarm.clock import Clock, system_clock
from pullarm.domain.decision import Decision, ServingMinute
from pullarm.domain.errors import Exhausted, Unavailable
from pullarm.domain.ports import EventSink
from pullarm.storage import events
from serving.backlog import Asked, Backlog, Item, Kind, united
from serving.numbering import Numbering
from serving.segment import Segment
from serving.spool import Spool, SpoolFull
from serving.waiter import Answer, Durability, Kept, Logged, Made, Waiter, within

if TYPE_CHECKING:
    from pullarm.otel import Trace

_log = logging.getLogger(__name__)

MAX_WAITING = 50_000
MAX_WAITING_BYTES = 64 * 1024 * 1024
"""What may wait to be stored; beyond it a request is refused at once."""
BUDGET_S = 0.05
"""How long the stream may take to acknowledge an entry before it is spooled as well and answered."""
WAIT_S = 0.8
"""How long a request waits before it is told that its events are not stored; less than our client's second."""
_RETRY_S = 0.05
_TRY_FULL_AGAIN_S = 1.0
_SWEEP_S = 0.1
_TURN_S = 0.002
"""How long the making of events may keep the event loop."""
_NOTHING = events.entry([], [], [])


class EventLog:
    """The process's way into the event stream."""

    def __init__(
        self,
        sink: EventSink,
        spool: Spool,
        process: str,
        *,
        durability: Durability = Durability.ACKNOWLEDGED,
        clock: Clock = system_clock,
    ) -> None:
        self._loop = asyncio.get_running_loop()  # in Python 3.11 a system call each time
        self.durability = durability
        self.spool = spool
        self.trouble: str | None = None
        """Why the stream takes no entries; None while it does."""
        self.voids = 0
        """Decisions taken back."""
        self.slow = 0
        """Entries that the stream did not acknowledge within the budget."""
        self.refused = 0
        """Requests whose events found no room."""
        self.lost = 0
        """Events nobody waited for that found no room, neither in the spool nor in memory."""
        self._sink = sink
        self._numbering = Numbering(process)
        self._clock = clock
        self._asked = Asked()
        self._backlog = Backlog()
        self._in_hand: list[Item] = []
        """The entry that is being stored."""
        self._sent = False
        """Whether the stream may have it."""
        self._owed = Backlog()
        """What nobody waits for and the full spool did not take; tried again once there is room."""
        self._late: asyncio.Future[None] | None = None
        """The append that overran its budget; it may yet succeed."""
        self._full: str | None = None
        self._full_until = 0.0
        self._wake = asyncio.Event()
        self._behind = asyncio.Event()
        """Set while the stream is away or the spool holds anything."""
        self._behind.set()  # another process may have died and left its spool
        self._closing = self._ended = False

    @property
    def waiting(self) -> int:
        """Requests, and events nobody waits for, that are not stored yet."""
        return len(self._asked) + len(self._backlog) + len(self._in_hand) + len(self._owed)

    @property
    def waiting_bytes(self) -> int:
        """The size in bytes of those that are in no entry yet."""
        return self._asked.bytes + self._backlog.bytes + self._owed.bytes

    def full(self) -> str | None:
        """Why no more events can be kept, None while they can: then nothing should be decided that needs a log."""
        waiting = len(self._backlog) + len(self._asked)
        if waiting >= MAX_WAITING or self.waiting_bytes >= MAX_WAITING_BYTES:
            return f"{waiting} requests wait to be stored; the event store is too slow"
        if self._full is not None and time.monotonic() < self._full_until:
            return self._full
        return None

    async def join(self, waiter: Waiter[Answer]) -> Answer:
        """Make a request's events when the next entry is put together, and its answer once they are kept.

        Done for many requests in a row this finds code and data in the processor's caches. Raises what the waiter's own
        methods raise, Exhausted when there is no room, Unavailable when storing takes too long. Decisions of a request
        that is told so, or is cancelled, are voided where they may have been stored: nobody was shown them.
        """
        waiter.since_ms = self._clock()
        waiter.future = self._loop.create_future()
        if reason := self.full():
            self.refused += 1
            waiter.failed(Exhausted(reason))
        elif self.durability is Durability.BUFFERED:
            if waiter.begin():
                waiter.finished(Kept.BUFFERED)
                if waiter.future.exception() is None:
                    self._put_all(waiter, waits=False)
        else:
            self._asked.put(waiter)
            self._wake.set()
        try:
            return await waiter.future
        except (asyncio.CancelledError, Exception):
            if waiter.tried:
                self.void(waiter.logged)
            raise

    async def store(self, logged: Logged, size: int = 0, trace: "Trace | None" = None) -> Kept:
        """Return once all of these events are kept as the durability says, and where; raises as `join` does.

        `size` is what they take meanwhile, in bytes.
        """
        return await self.join(Made(logged, size, trace)) if logged else Kept.ACKNOWLEDGED

    def void(self, logged: Logged) -> None:
        """Take back decisions that may have been stored and that nobody was shown."""
        for event in logged:
            if isinstance(event, Decision):
                self._put(Kind.VOID, [events.pack(event.token)])
                self.voids += 1

    def tell(self, minutes: Sequence[ServingMinute]) -> None:
        """Report how serving did, and up to when all is stored; nobody waits for it."""
        packed = [[events.pack(minute)] for minute in minutes]
        for some in packed or [[]]:  # where there is nothing else, an entry says the latter alone
            self._put(Kind.MINUTE, some)
        self._behind.set()  # another process may have died and left its spool

    async def run(self) -> None:
        """Commit for ever, one entry at a time: what arrives meanwhile is the next entry."""
        async with asyncio.TaskGroup() as group:  # where one of them dies, all end
            others = [group.create_task(self._sweep()), group.create_task(self._recover())]
            while not self._closing or self._asked or self._backlog:
                await self._wake.wait()
                self._wake.clear()
                while self._asked or self._backlog:
                    self._begin()
                    await self._commit()
            self._ended = True
            for task in others:
                task.cancel()
        if self._late is not None:
            self._late.cancel()
        if self._owed.events:
            self.lost += self._owed.events
            _log.error("%d events found no room and are lost", self._owed.events)

    def close(self) -> None:
        """Let `run` end once everything is in the stream or the spool."""
        self._closing = True
        self._wake.set()

    def _begin(self) -> None:
        """Make the events of the requests that have joined, as many as a turn of the loop has room for."""
        turn_ends = time.perf_counter() + _TURN_S
        while self._asked and not self._backlog.fills_an_entry:
            waiter = self._asked.take()
            if not waiter.future.done() and waiter.begin():
                self._put_all(waiter, waits=True)
            if time.perf_counter() > turn_ends:
                break

    def _put_all(self, waiter: Waiter[Any], *, waits: bool) -> None:
        kind = Kind.DECISION if isinstance(waiter.logged[0], Decision) else Kind.REWARD
        packed = [events.pack(event) for event in waiter.logged]
        self._backlog.put(kind, packed, waiter if waits else None, waiter.since_ms, waiter.traces())
        self._wake.set()

    def _put(self, kind: Kind, packed: list[bytes]) -> None:
        """What nobody waits for."""
        self._backlog.put(kind, packed, None, self._clock())
        self._wake.set()

    async def _commit(self) -> None:
        """Store one entry."""
        self._in_hand = items = self._backlog.take()
        if not items:
            await asyncio.sleep(0)  # others have their turn where all that was asked made nothing
            return
        packed, traces = united(items)
        self._sent = False
        count, spooled = sum(map(len, packed)), self.spool.waiting_entries > 0
        span = self._numbering.span(count, self._all_until_ms(), spooled=spooled)
        kept = await self._keep(events.entry(*packed, span=span, traces=traces))
        if kept is None:
            self._reject(items)
        else:
            self._numbering.kept()
            for item in items:
                if item.waiter is not None:
                    item.waiter.stored(kept)
        self._in_hand = []

    def _all_until_ms(self) -> int:
        """All events of before this moment are in entries."""
        left = (self._asked.since_ms, self._backlog.since_ms, self._owed.since_ms)
        return min(filter(None, (self._clock(), *left)))

    async def _keep(self, entry: bytes) -> Kept | None:
        """Where the entry is now; None where there was no room."""
        if await self._append(entry):
            return Kept.ACKNOWLEDGED
        if await self._write(entry):
            return Kept.SPOOLED
        if self.trouble is None and await self._append(entry):  # it came back meanwhile
            self._full = None
            return Kept.ACKNOWLEDGED
        return None

    async def _append(self, entry: bytes) -> bool:
        """Whether the stream acknowledged the entry within the budget."""
        if self.trouble is not None:
            return False
        self._sent = True
        appending = asyncio.ensure_future(self._sink.append(entry))
        if not await within(appending, BUDGET_S):
            self.slow += 1
            self._late = appending
            self._away(f"the event stream did not answer within {BUDGET_S * 1000:.0f} ms")
            return False
        try:
            appending.result()
        except Unavailable as error:
            self._away(str(error))
            return False
        return True

    def _away(self, reason: str) -> None:
        _log.warning("events go to the spool: %s", reason)
        self.trouble = reason
        self._behind.set()

    async def _write(self, entry: bytes) -> bool:
        """Whether the spool took the entry."""
        try:
            await asyncio.to_thread(self.spool.write, entry)
        except SpoolFull as error:
            if self._full is None:
                _log.error("no more events can be kept: %s", error)
            self._full = f"{error}; meanwhile {self.trouble}" if self.trouble else str(error)
            self._full_until = time.monotonic() + _TRY_FULL_AGAIN_S
            return False
        self._full = None
        return True

    def _reject(self, items: list[Item]) -> None:
        """There is no room: tell those that wait, keep what nobody waits for as long as memory allows."""
        for item in items:
            waiter = item.waiter
            if waiter is None:
                if len(self._owed) < MAX_WAITING and self._owed.bytes < MAX_WAITING_BYTES:
                    self._owed.put(item.kind, item.packed, None, item.since_ms)
                    self._behind.set()
                else:
                    self.lost += len(item.packed)
            elif not waiter.future.done():  # who was told otherwise has seen to it
                self.refused += 1
                if self._sent or waiter.kept is not None:  # it may be stored, or a part of it is
                    self.void(waiter.logged)
                waiter.tried = False
                waiter.failed(Exhausted(self._full))

    async def _recover(self) -> None:
        """Ask the stream until it takes entries again, and bring it what was spooled meanwhile."""
        while not self._ended:  # looked at because the driver may swallow a cancellation
            await self._behind.wait()
            try:
                await self._catch_up()
            except Unavailable:
                await asyncio.sleep(_RETRY_S)

    async def _catch_up(self) -> None:
        if self._late is not None:
            late, self._late = self._late, None
            await late
        if self.trouble is not None:
            await self._sink.append(_NOTHING)
            _log.info("events go to the stream again")
            self.trouble = self._full = None
        if self._owed:
            self._owed.move_to(self._backlog)
            self._wake.set()
        while (segment := await self._next_segment()) is not None:
            for entry in await asyncio.to_thread(list, segment.entries()):
                await self._sink.append(entry)
            await asyncio.to_thread(self.spool.done, segment)
        if self._caught_up():
            self._behind.clear()

    async def _next_segment(self) -> Segment | None:
        """The oldest of our own, then what processes that have ended left behind."""
        while True:
            segment = await asyncio.to_thread(self.spool.next_segment)
            if segment is not None or not await asyncio.to_thread(self.spool.adopt):
                return segment

    def _caught_up(self) -> bool:
        return self.trouble is None and not self._owed and not self.spool.waiting_entries

    async def _sweep(self) -> None:
        """Tell requests that have waited too long."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            late_s = time.perf_counter() - WAIT_S
            error = self.trouble or "the event stream does not answer in time; try again"
            in_hand = [item.waiter for item in self._in_hand if item.waiter is not None]
            for waiter in chain(in_hand, self._backlog.waiters(), self._asked):
                if waiter.since_s > late_s:
                    break
                waiter.failed(Unavailable(error))
            self._asked.drop_answered()
