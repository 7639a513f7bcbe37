"""The event stream: one on one server, several in a cluster, and then any of them takes any entry.

Never trimmed by length, which would destroy pending entries: an entry goes when it is folded.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from pullarm.domain.errors import Unavailable
from pullarm.domain.ports import Entry
from pullarm.storage.redis import keys
from pullarm.storage.redis.cluster import Client, Cluster, doubt
from pullarm.storage.redis.line import Lines
from pullarm.storage.redis.stream import StreamSink, StreamSource

_log = logging.getLogger(__name__)

MAX_BACKLOG_BYTES = 256 * 1024 * 1024
"""How much may wait to be folded; half of what the embedded server may hold in all."""
_OF_THREE = len(keys.SHARDS) // 3
"""Streams of one primary of three, which together may hold what the stream of one server may."""
_PATIENCE_S = 0.5
"""How long one of several streams may take to take an entry before the others do."""
_ASIDE_S = 5.0
"""How long a stream may take to answer a worker, beyond what it was asked to wait, before the others are read alone."""
_T = TypeVar("_T")


class RedisEventSink:
    """Serving's end of the stream, on connections of its own.

    Of several streams each takes an entry in turn; one that takes none is left out until it does. With `replicas`, an
    entry is taken once that many replicas of its primary have it: what a promoted one lacks was never acknowledged.
    """

    def __init__(
        self,
        client: Client,
        *,
        shards: Sequence[int] = (),
        replicas: int = 0,
        max_backlog_bytes: int = MAX_BACKLOG_BYTES,
    ) -> None:
        self._lines = Lines(client)
        names = shards or shards_of(client)
        most = max_backlog_bytes if len(names) == 1 else max_backlog_bytes // _OF_THREE
        self._streams = deque(
            StreamSink(self._lines, shard, max_backlog_bytes=most, replicas=replicas)
            for shard in names
        )
        self._looking: asyncio.Task[None] | None = None

    def append(self, entry: bytes) -> Awaitable[None]:
        """Return, when awaited, once the entry is in the stream.

        Raises Unavailable while the server is away, and while more waits to be folded than the stream may hold: the
        server's memory must stay free for what serving reads.
        """
        if len(self._streams) == 1:
            return self._streams[0].append(entry)
        stream = self._next()
        return self._watched(stream, stream.append(entry))

    def _next(self) -> StreamSink:
        """The next that is well; where none is, the next, which may be again."""
        self._look_at_the_ill()
        for _ in range(len(self._streams)):
            self._streams.rotate(-1)
            if self._streams[0].well:
                return self._streams[0]
        self._streams.rotate(-1)
        return self._streams[0]

    def _look_at_the_ill(self) -> None:
        """At one at a time."""
        if self._looking is None or self._looking.done():
            now = time.monotonic()
            for stream in self._streams:
                if not stream.well and stream.try_at <= now:
                    self._looking = asyncio.create_task(_look(stream))
                    return

    async def _watched(self, stream: StreamSink, appending: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await appending
        except TimeoutError:
            stream.unwell()
            raise Unavailable(f"Redis is away: no answer within {_PATIENCE_S} s") from None
        except Unavailable:
            stream.unwell()
            raise
        stream.well = True

    async def aclose(self) -> None:
        """Close the connections."""
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking
        await self._lines.aclose()


async def _look(stream: StreamSink) -> None:
    """Whether a stream is well again, found out with no entry at stake."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await stream.look()
    except (Unavailable, TimeoutError):
        stream.unwell()
    else:
        stream.well = True


class RedisEventSource:
    """A worker's end of the stream, as one consumer of the ledger's group; of several those that are there are read."""

    def __init__(self, client: Client, consumer: str, shards: Sequence[int] = ()) -> None:
        self._client = client
        self._streams = [StreamSource(client, consumer, n) for n in shards or shards_of(client)]
        self._away: dict[int, str] = {}

    async def claim(self, count: int, wait_ms: int) -> list[Entry]:
        """New entries, at most `count`; waits up to wait_ms for the first."""

        def take(share: int, wait: int, stream: StreamSource) -> Awaitable[list[Entry]]:
            return stream.claim(share, wait)

        return await self._up_to(count, take, wait_ms)

    async def reclaim(self, count: int, idle_ms: int) -> list[Entry]:
        """Entries that a consumer claimed and left unacknowledged for idle_ms."""

        def take(share: int, _: int, stream: StreamSource) -> Awaitable[list[Entry]]:
            return stream.reclaim(share, idle_ms)

        return await self._up_to(count, take, 0)

    async def acknowledge(self, entries: Sequence[Entry]) -> None:
        """The entries are folded: forget them. Those of a stream that is away come again."""
        of: dict[int, list[Entry]] = {}
        for entry in entries:
            of.setdefault(entry.shard, []).append(entry)
        concerned = [stream for stream in self._streams if stream.shard in of]
        await self._each(concerned, lambda stream: stream.acknowledge(of[stream.shard]))

    async def forget_the_gone(self, idle_ms: int) -> None:
        """Remove consumers that were killed long ago; one with entries pending waits until those are reclaimed."""
        await self._each(self._streams, lambda stream: stream.forget_the_gone(idle_ms))

    async def leave(self) -> None:
        """Remove this consumer, unless entries are still pending with it: those wait to be reclaimed."""
        await self._each(self._streams, lambda stream: stream.leave())

    async def _up_to(
        self,
        count: int,
        take: Callable[[int, int, StreamSource], Awaitable[list[Entry]]],
        wait_ms: int,
    ) -> list[Entry]:
        """As many of each stream; then more of those that have more, while there is room."""
        found: list[Entry] = []
        streams = self._streams
        while streams and (room := count - len(found)) > 0:
            share, wait = max(1, room // len(streams)), 0 if found else wait_ms
            try:
                taken = await self._each(streams[:room], partial(take, share, wait), wait)
            except Unavailable:
                if found:  # which are in hand
                    break
                raise
            found += [entry for some in taken.values() for entry in some]
            streams = [stream for stream, some in taken.items() if len(some) == share]
        return found

    async def _each(
        self,
        streams: Sequence[StreamSource],
        do: Callable[[StreamSource], Awaitable[_T]],
        wait_ms: int = 0,
    ) -> dict[StreamSource, _T]:
        """What each says, but for those that are away; raises Unavailable where all are."""
        patience_s = wait_ms / 1_000 + _ASIDE_S

        async def ask(stream: StreamSource) -> _T | Unavailable:
            try:
                async with asyncio.timeout(patience_s):
                    return await do(stream)
            except TimeoutError:
                doubt(self._client)
                return Unavailable(f"Redis is away: no answer within {patience_s:.0f} s")
            except Unavailable as error:
                return error

        answers = dict(zip(streams, await asyncio.gather(*map(ask, streams)), strict=True))
        errors = {s.shard: a for s, a in answers.items() if isinstance(a, Unavailable)}
        if errors and len(errors) == len(answers):
            raise next(iter(errors.values()))
        self._tell({stream.shard for stream in answers}, errors)
        return {s: a for s, a in answers.items() if not isinstance(a, Unavailable)}

    def _tell(self, asked: set[int], errors: dict[int, Unavailable]) -> None:
        for shard in sorted(asked):
            if shard in errors and shard not in self._away:
                _log.warning("event stream %d is away: %s", shard, errors[shard])
                self._away[shard] = str(errors[shard])
            elif shard not in errors and self._away.pop(shard, ""):
                _log.info("event stream %d is back", shard)


def shards_of(client: Client) -> Sequence[int]:
    """The streams there are."""
    return keys.SHARDS if isinstance(client, Cluster) else (0,)
