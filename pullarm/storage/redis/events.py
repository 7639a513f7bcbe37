"""The event stream. Never trimmed by length, which would destroy pending entries: an entry goes when it is folded."""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from pullarm.domain.errors import Unavailable
from pullarm.domain.ports import Entry
from pullarm.storage.redis import keys
from pullarm.storage.redis.connection import driver_errors
from pullarm.storage.redis.line import Line, LineKeeper, packed

MAX_BACKLOG_BYTES = 256 * 1024 * 1024
"""How much may wait to be folded; half of what the embedded server may hold in all."""

_FIELD = b"b"
_MEASURE_EVERY_S = 1.0
_XADD = b"*5\r\n$4\r\nXADD\r\n$%d\r\n%b\r\n$1\r\n*\r\n$1\r\nb\r\n$%d\r\n%b\r\n"


class RedisEventSink:
    """Serving's end of one shard of the stream, on a connection of its own."""

    def __init__(
        self, redis: Redis, *, shard: int = 0, max_backlog_bytes: int = MAX_BACKLOG_BYTES
    ) -> None:
        self._keeper = LineKeeper(redis)
        self._key = keys.events(shard).encode()
        self._max_backlog_bytes = max_backlog_bytes
        self._measure_at = 0.0

    def append(self, entry: bytes) -> Awaitable[None]:
        """Return, when awaited, once the entry is in the stream.

        Raises Unavailable while the server is away, and while more waits to be folded than the stream may hold: the
        server's memory must stay free for what serving reads.
        """
        line = self._keeper.line
        if line is None or line.lost or time.monotonic() >= self._measure_at:
            return self._append_carefully(entry)
        return self._send(line, entry)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._keeper.aclose()

    async def _append_carefully(self, entry: bytes) -> None:
        """Connect where that is needed, and see how much waits to be folded."""
        line = await self._keeper.open()
        used = int(await line.send(packed(("MEMORY", "USAGE", self._key))) or 0)
        if used > self._max_backlog_bytes:
            raise Unavailable(
                f"{used >> 20} MiB of events wait to be folded, more than the "
                f"{self._max_backlog_bytes >> 20} MiB the stream may hold; are the workers up?"
            )
        self._measure_at = time.monotonic() + _MEASURE_EVERY_S
        await self._send(line, entry)

    def _send(self, line: Line, entry: bytes) -> "asyncio.Future[Any]":
        return line.send(_XADD % (len(self._key), self._key, len(entry), entry))


class RedisEventSource:
    """A worker's end of one shard of the stream, as one consumer of the ledger's group."""

    def __init__(self, redis: Redis, consumer: str, shard: int = 0) -> None:
        self._redis = redis
        self._consumer = consumer
        self._key = keys.events(shard)

    async def claim(self, count: int, wait_ms: int) -> list[Entry]:
        """New entries, at most `count`; waits up to wait_ms for the first."""
        with driver_errors():
            try:
                return await self._read(count, wait_ms)
            except ResponseError as error:
                # No group: a new stream, or one that was emptied. From 0, so that nothing in it is missed.
                if not str(error).startswith("NOGROUP"):
                    raise
                await self._make_group()
                return await self._read(count, wait_ms)

    async def _read(self, count: int, wait_ms: int) -> list[Entry]:
        answer = await self._redis.xreadgroup(
            keys.GROUP,
            self._consumer,
            {self._key: ">"},
            count=count,
            block=wait_ms or None,  # to the server 0 means for ever
        )
        return [entry for _, entries in answer for entry in _entries(entries)]

    async def _make_group(self) -> None:
        try:
            await self._redis.xgroup_create(self._key, keys.GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # another worker was faster
                raise

    async def reclaim(self, count: int, idle_ms: int) -> list[Entry]:
        """Entries that a consumer claimed and left unacknowledged for idle_ms."""
        with driver_errors():
            try:
                answer = await self._redis.xautoclaim(
                    self._key, keys.GROUP, self._consumer, idle_ms, count=count
                )
            except ResponseError as error:
                if not str(error).startswith("NOGROUP"):
                    raise
                return []
        return _entries(answer[1])

    async def acknowledge(self, entries: Sequence[Entry]) -> None:
        """The entries are folded: forget them."""
        if not entries:
            return
        ids = [entry.id for entry in entries]
        with driver_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.xack(self._key, keys.GROUP, *ids)
                pipe.xdel(self._key, *ids)
                await pipe.execute()

    async def forget_the_gone(self, idle_ms: int) -> None:
        """Remove consumers that were killed long ago; one with entries pending waits until those are reclaimed."""
        with driver_errors():
            for consumer in await self._consumers():
                if consumer["pending"] == 0 and consumer["idle"] > idle_ms:
                    await self._redis.xgroup_delconsumer(self._key, keys.GROUP, consumer["name"])

    async def leave(self) -> None:
        """Remove this consumer, unless entries are still pending with it: those wait to be reclaimed."""
        with driver_errors():
            for consumer in await self._consumers():
                if consumer["name"] == self._consumer.encode() and consumer["pending"] == 0:
                    await self._redis.xgroup_delconsumer(self._key, keys.GROUP, self._consumer)

    async def _consumers(self) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = await self._redis.xinfo_consumers(self._key, keys.GROUP)
        except ResponseError:  # no stream or no group: a new server, or one that was emptied
            return []
        return found


def _entries(raw: Sequence[Any]) -> list[Entry]:
    # An entry deleted while it was claimed comes back without fields.
    return [Entry(id.decode(), fields[_FIELD]) for id, fields in raw if fields]
