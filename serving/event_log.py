"""Group commit: the events of all requests in flight are one stream entry, and each request waits for its own.

Every request has a future of its own. (A shared one lets a single cancelled call fail its whole batch.)
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from itertools import chain

from pullarm.domain.decision import Decision, Reward, ServingMinute
from pullarm.domain.errors import Unavailable
from pullarm.domain.ports import EventSink
from pullarm.storage import events

_log = logging.getLogger(__name__)

MAX_WAITING = 50_000
MAX_WAITING_BYTES = 64 * 1024 * 1024
"""What may wait for the stream; beyond it a request is refused at once."""
WAIT_S = 0.8
"""How long a request waits for its events to be stored before it is told that they are not; less than the second that
our client waits for an answer."""
_RETRY_S = 0.05
_SWEEP_S = 0.1


class _Waiter:
    """One request's share of the entries that carry its events."""

    __slots__ = ("future", "left", "since", "tried")

    def __init__(self, future: asyncio.Future[None], left: int, since: float) -> None:
        self.future = future
        self.left = left
        self.since = since
        self.tried = False
        """Whether any of its events may be in the stream."""

    def stored(self) -> None:
        self.left -= 1
        if self.left == 0 and not self.future.done():
            self.future.set_result(None)

    def failed(self, reason: str) -> None:
        if not self.future.done():
            self.future.set_exception(Unavailable(reason))


_Item = tuple[int, bytes, _Waiter | None]
_DECISION, _REWARD, _VOID, _MINUTE = range(4)


class EventLog:
    """The process's way into the event stream."""

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink
        self._waiting: deque[_Item] = deque()
        self._waiting_bytes = 0
        self._in_hand: list[_Item] = []
        """The entry that is being stored."""
        self._trouble: Unavailable | None = None
        """Why the entry in hand could not be stored so far."""
        self._wake = asyncio.Event()
        self._closing = False

    async def store(self, logged: Sequence[Decision | Reward]) -> None:
        """Return once all of a request's events are durable.

        Raises Unavailable when they are not, at once while the stream is known to be away. Decisions of a request that
        is told so, or is cancelled, are voided where they may have been stored, because nobody was shown them.
        """
        if not logged:
            return
        self._refuse_if_away(len(logged))
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop.create_future(), len(logged), loop.time())
        for event in logged:
            kind = _DECISION if isinstance(event, Decision) else _REWARD
            self._put(kind, events.pack(event), waiter)
        try:
            await waiter.future
        except (asyncio.CancelledError, Unavailable):
            # All of them: some may be in an entry that was stored, or yet will be.
            for event in logged:
                if waiter.tried and isinstance(event, Decision):
                    self._put(_VOID, events.pack(event.token), None)
            raise

    def tell(self, minutes: Sequence[ServingMinute]) -> None:
        """Report how serving did; nobody waits for it."""
        for minute in minutes:
            self._put(_MINUTE, events.pack(minute), None)

    async def run(self) -> None:
        """Commit for ever, one entry at a time: what arrives meanwhile is the next entry."""
        sweeping = asyncio.create_task(self._sweep())
        try:
            while not (self._closing and not self._waiting):
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    await self._commit()
        finally:
            sweeping.cancel()

    def close(self) -> None:
        """Let `run` end once everything is stored, or cannot be."""
        self._closing = True
        self._wake.set()

    def _refuse_if_away(self, count: int) -> None:
        if self._trouble is not None and not self._in_hand_waits():
            raise Unavailable(str(self._trouble))
        full = len(self._waiting) + count > MAX_WAITING or self._waiting_bytes > MAX_WAITING_BYTES
        if full:
            raise Unavailable("too many events wait for the event stream; try again")

    def _in_hand_waits(self) -> bool:
        """Whether anybody still hopes for the entry in hand."""
        return any(
            waiter is not None and not waiter.future.done() for _, _, waiter in self._in_hand
        )

    def _put(self, kind: int, event: bytes, waiter: _Waiter | None) -> None:
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
        """Store one entry, however long that takes: only this one can be in the stream without being acknowledged."""
        self._in_hand = self._take()
        if not self._in_hand:
            return
        packed: tuple[list[bytes], ...] = ([], [], [], [])
        for kind, event, waiter in self._in_hand:
            packed[kind].append(event)
            if waiter is not None:
                waiter.tried = True
        if await self._append(events.entry(*packed)):
            for _, _, waiter in self._in_hand:
                if waiter is not None:
                    waiter.stored()
        self._in_hand = []

    async def _append(self, entry: bytes) -> bool:
        """Try until it is stored, a second copy changes nothing in the ledger; False when the process ends before."""
        while True:
            try:
                await self._sink.append(entry)
            except Unavailable as error:
                if self._trouble is None:
                    _log.warning("events cannot be stored: %s", error)
                self._trouble = error
                if self._closing:
                    self._abandon(str(error))
                    return False
                await asyncio.sleep(_RETRY_S)
            else:
                if self._trouble is not None:
                    _log.info("events are stored again")
                self._trouble = None
                return True

    async def _sweep(self) -> None:
        """Tell requests that have waited too long."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_S)
            oldest = loop.time() - WAIT_S
            reason = str(self._trouble or "the event stream does not answer in time; try again")
            for _, _, waiter in chain(self._in_hand, self._waiting):
                if waiter is not None:
                    if waiter.since > oldest:
                        break
                    waiter.failed(reason)

    def _abandon(self, reason: str) -> None:
        """The process ends and the stream is away: nobody waits any longer."""
        _log.error("%d events could not be stored", len(self._in_hand) + len(self._waiting))
        for _, _, waiter in chain(self._in_hand, self._waiting):
            if waiter is not None:
                waiter.failed(reason)
        self._waiting.clear()
