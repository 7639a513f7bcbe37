"""Group commit: the events of all requests in flight are one stream entry, and each request waits for its own.

While the stream is away or slow, entries go to the process's spool instead and from there into the stream once it is
back. One that gets there twice changes nothing in the ledger.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain
from typing import TypeVar

from pullarm.domain.decision import Decision, ServingMinute
from pullarm.domain.errors import Exhausted, Unavailable
from pullarm.domain.ports import EventSink
from pullarm.storage import events
from serving.pace import Pace
from serving.segment import Segment
from serving.spool import Spool, SpoolFull
from serving.waiter import Durability, Kept, Logged, Waiter, within

_log = logging.getLogger(__name__)

MAX_WAITING = 50_000
MAX_WAITING_BYTES = 64 * 1024 * 1024
"""What may wait to be stored; beyond it a request is refused at once."""
BUDGET_S = 0.05
"""How long the stream may take to acknowledge an entry before it is spooled as well and answered."""
WAIT_S = 0.8
"""How long a request waits for its events to be stored before it is told that they are not; less than the second that
our client waits for an answer."""
_RETRY_S = 0.05
_TRY_FULL_AGAIN_S = 1.0
_SWEEP_S = 0.1
_TURN_S = 0.002
"""How long the making of events may keep the event loop."""
_NOTHING = events.entry([], [], [])

Answered = TypeVar("Answered")


_Item = tuple[int, bytes, Waiter | None]
_DECISION, _REWARD, _VOID, _MINUTE = range(4)


class EventLog:
    """The process's way into the event stream."""

    def __init__(
        self,
        sink: EventSink,
        spool: Spool,
        *,
        durability: Durability = Durability.ACKNOWLEDGED,
        pace: Pace | None = None,
    ) -> None:
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
        self._pace = pace or Pace(0.0)
        self._asked: deque[Waiter] = deque()
        """Requests whose events are yet to be made."""
        self._waiting: deque[_Item] = deque()
        self._waiting_bytes = 0
        self._in_hand: list[_Item] = []
        """The entry that is being stored."""
        self._owed: list[_Item] = []
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
        """Events in memory that are not stored yet, and requests whose events are not made yet."""
        return len(self._asked) + len(self._waiting) + len(self._in_hand) + len(self._owed)

    @property
    def waiting_bytes(self) -> int:
        """The size of those that are in no entry yet."""
        return self._waiting_bytes

    def full(self) -> str | None:
        """Why no more events can be kept, None while they can: then nothing should be decided that needs a log."""
        waiting = len(self._waiting) + len(self._asked)
        if waiting >= MAX_WAITING or self._waiting_bytes >= MAX_WAITING_BYTES:
            return f"{waiting} events wait to be stored; the event store is too slow"
        if self._full is not None and time.monotonic() < self._full_until:
            return self._full
        return None

    async def join(
        self, make: Callable[[], Logged], finish: Callable[[Kept], Answered]
    ) -> Answered:
        """Make a request's events when the next entry is put together, and its answer once they are kept.

        Done for many requests in a row this finds code and data in the processor's caches, and takes a fraction of what
        it takes with network calls in between. `make` and `finish` must be quick; what they raise is raised here.
        Exhausted when there is no room, Unavailable when storing takes too long. Decisions of a request that is told
        so, or is cancelled, are voided where they may have been stored: nobody was shown them.
        """
        if reason := self.full():
            self.refused += 1
            raise Exhausted(reason)
        if self.durability is Durability.BUFFERED:
            logged = make()
            answer = finish(Kept.BUFFERED)
            self._put_all(logged, None)
            return answer
        waiter = Waiter(make, finish)
        self._asked.append(waiter)
        self._wake.set()
        try:
            answer = await waiter.future
        except (asyncio.CancelledError, Exception):
            if waiter.tried:  # then all: some may be in an entry that was stored, or yet will be
                self.void(waiter.logged)
            raise
        return answer

    async def store(self, logged: Logged) -> Kept:
        """Return once all of these events are kept as the durability says, and where; raises as `join` does."""
        return await self.join(lambda: logged, lambda kept: kept) if logged else Kept.ACKNOWLEDGED

    def void(self, logged: Logged) -> None:
        """Take back decisions that may have been stored and that nobody was shown."""
        for event in logged:
            if isinstance(event, Decision):
                self._put(_VOID, events.pack(event.token), None)
                self.voids += 1

    def tell(self, minutes: Sequence[ServingMinute]) -> None:
        """Report how serving did; nobody waits for it."""
        for minute in minutes:
            self._put(_MINUTE, events.pack(minute), None)

    async def run(self) -> None:
        """Commit for ever, one entry at a time: what arrives meanwhile is the next entry."""
        async with asyncio.TaskGroup() as group:  # where one of them dies, all end
            others = [group.create_task(self._sweep()), group.create_task(self._recover())]
            next_at = 0.0
            while not self._closing or self._asked or self._waiting:
                await self._wake.wait()
                self._wake.clear()
                while self._asked or self._waiting:
                    early_s = next_at - time.monotonic()
                    if early_s > 0 and not self._closing:
                        await asyncio.sleep(early_s)
                    behind = self._begin()
                    await self._commit()
                    next_at = 0.0 if behind else time.monotonic() + self._pace.pause_s()
            self._ended = True
            for task in others:
                task.cancel()
        if self._late is not None:
            self._late.cancel()
        if self._owed:
            self.lost += len(self._owed)
            _log.error("%d events found no room and are lost", len(self._owed))

    def close(self) -> None:
        """Let `run` end once everything is in the stream or the spool."""
        self._closing = True
        self._wake.set()

    def _begin(self) -> bool:
        """Make the events of the requests that have joined; whether some have to wait for the next entry."""
        turn_ends = time.perf_counter() + _TURN_S
        while self._asked:
            if len(self._waiting) >= events.MAX_EVENTS or time.perf_counter() > turn_ends:
                return True
            waiter = self._asked.popleft()
            if not waiter.future.done() and waiter.begin():
                self._put_all(waiter.logged, waiter)
        return False

    def _put_all(self, logged: Logged, waiter: Waiter | None) -> None:
        for event in logged:
            kind = _DECISION if isinstance(event, Decision) else _REWARD
            self._put(kind, events.pack(event), waiter)

    def _put(self, kind: int, event: bytes, waiter: Waiter | None) -> None:
        self._waiting.append((kind, event, waiter))
        self._waiting_bytes += len(event)
        self._wake.set()

    def _take(self) -> list[_Item]:
        """The next entry's events; those of requests that have their answer already are left out."""
        items: list[_Item] = []
        size = 0
        while self._waiting and len(items) < events.MAX_EVENTS:
            _, event, waiter = item = self._waiting[0]
            dead = waiter is not None and waiter.future.done()
            if items and not dead and size + len(event) > events.MAX_BYTES:
                break
            self._waiting.popleft()
            self._waiting_bytes -= len(event)
            if not dead:
                items.append(item)
                size += len(event)
        return items

    async def _commit(self) -> None:
        """Store one entry: in the stream, else in the spool."""
        self._in_hand = items = self._take()
        if not items:
            return
        packed: tuple[list[bytes], ...] = ([], [], [], [])
        new: list[Waiter] = []
        for kind, event, waiter in items:
            packed[kind].append(event)
            if waiter is not None and not waiter.tried:
                waiter.tried = True
                new.append(waiter)
        sent = self.trouble is None
        entry = events.entry(*packed)
        if await self._append(entry):
            kept = Kept.ACKNOWLEDGED
        elif await self._write(entry):
            kept = Kept.SPOOLED
        else:
            for waiter in new:
                waiter.tried = sent
            self._reject(items)
            return
        for _, _, waiter in items:
            if waiter is not None:
                waiter.stored(kept)
        self._in_hand = []

    async def _append(self, entry: bytes) -> bool:
        """Whether the stream acknowledged the entry within the budget."""
        if self.trouble is not None:
            return False
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
            self._full = f"{error}; meanwhile {self.trouble}"
            self._full_until = time.monotonic() + _TRY_FULL_AGAIN_S
            return False
        self._full = None
        return True

    def _reject(self, items: list[_Item]) -> None:
        """There is no room: tell those that wait, keep what nobody waits for as long as memory allows."""
        for item in items:
            waiter = item[2]
            if waiter is not None:
                self.refused += not waiter.future.done()
                waiter.failed(Exhausted(self._full))
            elif len(self._owed) < MAX_WAITING:
                self._owed.append(item)
            else:
                self.lost += 1
        self._in_hand = []

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
            for item in self._owed:
                self._put(*item)
            self._owed = []
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
        return self.trouble is None and not self.spool.waiting_entries

    async def _sweep(self) -> None:
        """Tell requests that have waited too long."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_S)
            late = loop.time() - WAIT_S
            error = self.trouble or "the event stream does not answer in time; try again"
            made = (waiter for _, _, waiter in chain(self._in_hand, self._waiting))
            for waiter in chain(made, self._asked):
                if waiter is not None:
                    if waiter.since > late:
                        break
                    waiter.failed(Unavailable(error))
            while self._asked and self._asked[0].future.done():
                self._asked.popleft()  # nobody asks any more
