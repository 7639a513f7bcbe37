"""Group commit: the events of all requests in flight are one stream entry, and each request waits for its own.

Every request has a future of its own. (A shared one lets a single cancelled call fail its whole batch.)
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from pullarm.domain.decision import Decision, Reward, ServingMinute, Token
from pullarm.domain.errors import Unavailable
from pullarm.domain.ports import EventSink
from pullarm.storage import events

_log = logging.getLogger(__name__)

MAX_WAITING = 50_000
"""Events that may wait for the stream; beyond it a request is refused at once."""
RETRY_FOR_S = 2.0
"""How long an entry is offered to a stream that is away before its requests are told."""


class _Waiter:
    """One request's share of the entries that carry its events."""

    __slots__ = ("future", "left")

    def __init__(self, future: asyncio.Future[None], left: int) -> None:
        self.future = future
        self.left = left

    def stored(self) -> None:
        self.left -= 1
        if self.left == 0 and not self.future.done():
            self.future.set_result(None)

    def failed(self, error: Unavailable) -> None:
        if not self.future.done():
            self.future.set_exception(Unavailable(str(error)))


_Item = tuple[int, bytes, _Waiter | None]
_DECISION, _REWARD, _VOID, _MINUTE = range(4)


class EventLog:
    """The process's way into the event stream."""

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink
        self._waiting: deque[_Item] = deque()
        self._wake = asyncio.Event()
        self._closing = False

    async def store(self, logged: Sequence[Decision | Reward]) -> None:
        """Return once all of a request's events are durable.

        Raises Unavailable when they are not. A caller that is cancelled or told so has its decisions voided, because
        nobody was shown them.
        """
        if not logged:
            return
        if len(self._waiting) + len(logged) > MAX_WAITING:
            raise Unavailable("too many events wait for the event stream; try again")
        waiter = _Waiter(asyncio.get_running_loop().create_future(), len(logged))
        for event in logged:
            kind = _DECISION if isinstance(event, Decision) else _REWARD
            self._waiting.append((kind, events.pack(event), waiter))
        self._wake.set()
        try:
            await waiter.future
        except (asyncio.CancelledError, Unavailable):
            # All of them: some may be in an entry that was stored, or yet will be.
            for event in logged:
                if isinstance(event, Decision):
                    self.void(event.token)
            raise

    def void(self, token: Token) -> None:
        """Take back a decision that nobody will be shown."""
        self._waiting.append((_VOID, events.pack(token), None))
        self._wake.set()

    def tell(self, minutes: Sequence[ServingMinute]) -> None:
        """Report how serving did; nobody waits for it."""
        self._waiting.extend((_MINUTE, events.pack(minute), None) for minute in minutes)
        self._wake.set()

    async def run(self) -> None:
        """Commit for ever, one entry at a time: what arrives meanwhile is the next entry."""
        while not (self._closing and not self._waiting):
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._commit(self._take())

    def close(self) -> None:
        """Let `run` end once everything is stored."""
        self._closing = True
        self._wake.set()

    def _take(self) -> list[_Item]:
        items: list[_Item] = []
        size = 0
        while self._waiting and len(items) < events.MAX_EVENTS:
            size += len(self._waiting[0][1])
            if items and size > events.MAX_BYTES:
                break
            items.append(self._waiting.popleft())
        return items

    async def _commit(self, items: list[_Item]) -> None:
        packed: tuple[list[bytes], ...] = ([], [], [], [])
        for kind, event, _ in items:
            packed[kind].append(event)
        try:
            await self._append(events.entry(*packed))
        except Unavailable as error:
            self._give_up(items, error)
            return
        for _, _, waiter in items:
            if waiter is not None:
                waiter.stored()

    async def _append(self, entry: bytes) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + RETRY_FOR_S
        while True:
            try:
                await self._sink.append(entry)
            except Unavailable:
                # It may be there all the same; a second copy changes nothing in the ledger.
                if self._closing or loop.time() > deadline:
                    raise
                await asyncio.sleep(0.05)
            else:
                return

    def _give_up(self, items: list[_Item], error: Unavailable) -> None:
        _log.error("%d events could not be stored: %s", len(items), error)
        for _, _, waiter in items:
            if waiter is not None:
                waiter.failed(error)
        if not self._closing:
            self._waiting.extend(item for item in items if item[0] in (_VOID, _MINUTE))
