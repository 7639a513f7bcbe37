"""The event stream. Never trimmed by length, which would destroy pending entries: an entry goes when it is folded."""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from pullarm.domain.ports import Entry
from pullarm.storage.redis import keys
from pullarm.storage.redis.connection import driver_errors

_FIELD = b"b"


class RedisEventSink:
    """Serving's end of one shard of the stream."""

    def __init__(self, redis: Redis, shard: int = 0) -> None:
        self._redis = redis
        self._key = keys.events(shard)

    async def append(self, entry: bytes) -> None:
        """Return once the entry is in the stream; raises Unavailable while the server is away."""
        with driver_errors():
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

    async def backlog(self) -> int:
        """Entries not yet acknowledged."""
        with driver_errors():
            return int(await self._redis.xlen(self._key))

    async def leave(self) -> None:
        """Remove this consumer, unless entries are still pending with it: those wait to be reclaimed."""
        with driver_errors():
            try:
                consumers = await self._redis.xinfo_consumers(self._key, keys.GROUP)
            except ResponseError:  # no stream or no group: the server was emptied
                return
            mine = [c for c in consumers if c["name"] == self._consumer.encode()]
            if mine and mine[0]["pending"] == 0:
                await self._redis.xgroup_delconsumer(self._key, keys.GROUP, self._consumer)


def _entries(raw: Sequence[Any]) -> list[Entry]:
    # An entry deleted while it was claimed comes back without fields.
    return [Entry(id.decode(), fields[_FIELD]) for id, fields in raw if fields]
