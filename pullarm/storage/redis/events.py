"""The event stream. Never trimmed by length, which would destroy pending entries: an entry goes when it is folded."""

import time
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from pullarm.domain.errors import Unavailable
from pullarm.domain.ports import Entry
from pullarm.storage.redis import keys
from pullarm.storage.redis.connection import driver_errors

MAX_BACKLOG_BYTES = 256 * 1024 * 1024
"""How much may wait to be folded; half of what the embedded server may hold in all."""

_FIELD = b"b"
_MEASURE_EVERY_S = 1.0


class RedisEventSink:
    """Serving's end of one shard of the stream."""

    def __init__(
        self, redis: Redis, *, shard: int = 0, max_backlog_bytes: int = MAX_BACKLOG_BYTES
    ) -> None:
        self._redis = redis
        self._key = keys.events(shard)
        self._max_backlog_bytes = max_backlog_bytes
        self._backlog_bytes = 0
        self._measure_at = 0.0

    async def append(self, entry: bytes) -> None:
        """Return once the entry is in the stream.

        Raises Unavailable while the server is away, and while more waits to be folded than the stream may hold: the
        server's memory must stay free for what serving reads.
        """
        with driver_errors():
            if time.monotonic() >= self._measure_at:
                self._backlog_bytes = int(await self._redis.memory_usage(self._key) or 0)
                self._measure_at = time.monotonic() + _MEASURE_EVERY_S
            if self._backlog_bytes > self._max_backlog_bytes:
                raise Unavailable(
                    f"{self._backlog_bytes >> 20} MiB of events wait to be folded, more than the "
                    f"{self._max_backlog_bytes >> 20} MiB the stream may hold; are the workers up?"
                )
            await self._redis.xadd(self._key, {_FIELD: entry})


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
