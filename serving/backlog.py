"""What is made and not yet in an entry: the events of each request stay together as far as an entry can hold them."""

from collections import deque
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from pullarm.domain.decision import TraceContext
from pullarm.storage import events
from serving.waiter import Waiter


class Kind(IntEnum):
    """Of events, in the order in which an entry has them."""

    DECISION, REWARD, VOID, MINUTE = range(4)


class Item(NamedTuple):
    """What one request logs, or as much of it as an entry may hold."""

    kind: Kind
    packed: list[bytes]
    size: int
    """In bytes."""
    waiter: Waiter[Any] | None
    """None where nobody waits for it."""
    since_ms: int
    """When it was put here: its events are no younger."""
    traces: Sequence[TraceContext]
    """Of the request, where it is followed."""

    @property
    def dead(self) -> bool:
        """Whether whoever waited for it has an answer already."""
        return self.waiter is not None and self.waiter.future.done()


class Backlog:
    """Items in the order in which they came."""

    def __init__(self) -> None:
        self.events = self.bytes = 0
        """How many events there are, and their size."""
        self._items: deque[Item] = deque()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def fills_an_entry(self) -> bool:
        """Whether the next entry holds no more than these."""
        return self.events >= events.MAX_EVENTS or self.bytes >= events.MAX_BYTES

    def waiters(self) -> Iterator[Waiter[Any]]:
        """Those that wait, who came first first."""
        return (item.waiter for item in self._items if item.waiter is not None)

    @property
    def since_ms(self) -> int | None:
        """When the oldest item was put here; None where there is none."""
        return self._items[0].since_ms if self._items else None

    def put(
        self,
        kind: Kind,
        packed: list[bytes],
        waiter: Waiter[Any] | None,
        since_ms: int,
        traces: Sequence[TraceContext] = (),
    ) -> None:
        """Add the events of one request, made at this moment; where there are none, an entry is due all the same."""
        while True:
            fit = _fit(packed)
            size = sum(map(len, packed[:fit]))
            self._items.append(Item(kind, packed[:fit], size, waiter, since_ms, traces))
            self.events += fit
            self.bytes += size
            if waiter is not None:
                waiter.parts += 1
            packed = packed[fit:]
            if not packed:
                break

    def take(self) -> list[Item]:
        """The next entry's, without those of requests that have their answer already."""
        items: list[Item] = []
        count = size = 0
        while self._items:
            item = self._items[0]
            if not item.dead:
                count += len(item.packed)
                size += item.size
                if items and (count > events.MAX_EVENTS or size > events.MAX_BYTES):
                    break
                items.append(item)
            self._items.popleft()
            self.events -= len(item.packed)
            self.bytes -= item.size
        return items

    def move_to(self, other: "Backlog") -> None:
        """Add all of these to another's, which are younger."""
        other._items.extendleft(reversed(self._items))
        other.events += self.events
        other.bytes += self.bytes
        self._items.clear()
        self.events = self.bytes = 0


class Contents(NamedTuple):
    """Of an entry."""

    packed: list[list[bytes]]
    """Events by kind."""
    traces: list[TraceContext]


def united(items: Sequence[Item]) -> Contents:
    """What an entry of these holds; from now on it may be stored, whatever those who wait for it are told."""
    packed: list[list[bytes]] = [[] for _ in Kind]
    traces: list[TraceContext] = []
    for item in items:
        packed[item.kind] += item.packed
        if item.waiter is not None:
            item.waiter.tried = True
            if item.waiter.trace is not None:
                item.waiter.trace.mark()
        if item.traces:
            traces += item.traces
    return Contents(packed, traces)


class Asked:
    """Requests whose events are yet to be made, in the order in which they came."""

    def __init__(self) -> None:
        self.bytes = 0
        """What they hold until then."""
        self._waiters: deque[Waiter[Any]] = deque()

    def __len__(self) -> int:
        return len(self._waiters)

    def __iter__(self) -> Iterator[Waiter[Any]]:
        return iter(self._waiters)

    @property
    def since_ms(self) -> int | None:
        """When the first came; None where there is none."""
        return self._waiters[0].since_ms if self._waiters else None

    def put(self, waiter: Waiter[Any]) -> None:
        """Add one."""
        self._waiters.append(waiter)
        self.bytes += waiter.size

    def take(self) -> Waiter[Any]:
        """The next."""
        waiter = self._waiters.popleft()
        self.bytes -= waiter.size
        return waiter

    def drop_answered(self) -> None:
        """Forget those at the front who ask no more."""
        while self._waiters and self._waiters[0].future.done():
            self.take()


def _fit(packed: list[bytes]) -> int:
    """How many of these events, at least one where there is any, an entry may hold."""
    size = 0
    for count, event in enumerate(packed):
        size += len(event)
        if count and (size > events.MAX_BYTES or count >= events.MAX_EVENTS):
            return count
    return len(packed)
