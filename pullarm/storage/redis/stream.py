"""One stream of events: serving's end of it, and a worker's."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from pullarm.domain.errors import Unavailable
from pullarm.domain.ports import Entry
from pullarm.storage.redis import keys
from pullarm.storage.redis.cluster import Client, on
from pullarm.storage.redis.connection import NOT_NOW
from pullarm.storage.redis.line import Answer, Line, Lines, packed

_log = logging.getLogger(__name__)

FIELD = b"b"
REPLICATED_WITHIN_MS = 40
"""How long replicas may take to have an entry; less than what serving gives the stream to acknowledge it."""
KEPT_S = 3.0
"""How long a server may have an entry in its memory alone: Redis puts a write off for 2 s while the disk is busy."""
KEPT_BYTES = 32 * 1024 * 1024
_AGAIN_BYTES = 1024 * 1024
_MEASURE_EVERY_S = 1.0
_XADD = b"*5\r\n$4\r\nXADD\r\n$%d\r\n%b\r\n$1\r\n*\r\n$1\r\nb\r\n$%d\r\n%b\r\n"


class Recent:
    """The entries of the last seconds, for a server that comes back without them (docs/decisions/0046).

    Under `appendfsync everysec` Redis answers before it has written while an fsync takes long; killed just then it has
    less than it said. So has a replica that is promoted.
    """

    def __init__(self) -> None:
        self._entries: deque[tuple[float, bytes]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def taken(self, entry: bytes) -> None:
        """The server has said so: it lives, and what it took long enough before is written."""
        now = time.monotonic()
        self._entries.append((now, entry))
        self._bytes += len(entry)
        while self._entries[0][0] < now - KEPT_S or self._bytes > KEPT_BYTES:
            _, old = self._entries.popleft()
            self._bytes -= len(old)

    def parts(self) -> list[list[bytes]]:
        """All of them as they are now, oldest first, in as many as a server takes at once."""
        parts: list[list[bytes]] = []
        room = 0
        for _, entry in self._entries:
            if room <= 0:
                parts.append([])
                room = _AGAIN_BYTES
            parts[-1].append(entry)
            room -= len(entry)
        return parts

    def retaken(self) -> None:
        """Another server has them all as of now."""
        now = time.monotonic()
        self._entries = deque((now, entry) for _, entry in self._entries)


class StreamSink:
    """Where entries are appended to one stream."""

    def __init__(self, lines: Lines, shard: int, *, max_backlog_bytes: int, replicas: int) -> None:
        self.well = True
        """Whether the last entry was taken."""
        self.try_at = 0.0
        """When to look whether it is well again."""
        self._lines = lines
        self._line: Line | None = None
        """None while it has to be looked at."""
        self._taker: Line | None = None
        """On which the server took what is recent."""
        self._recent = Recent()
        self._key = keys.events(shard)
        self._name = self._key.encode()
        self._max_backlog_bytes = max_backlog_bytes
        self._replicas = replicas
        self._wait = packed(("WAIT", str(replicas), str(REPLICATED_WITHIN_MS)))
        self._measure_at = 0.0

    def append(self, entry: bytes) -> Awaitable[None]:
        """Return, when awaited, once the entry is in the stream; raises Unavailable."""
        line = self._line
        if line is None or line.lost or time.monotonic() >= self._measure_at:
            return self._append_carefully(entry)
        return self._send(line, entry)

    async def _append_carefully(self, entry: bytes) -> None:
        await self._send(await self.look(), entry)

    async def look(self) -> Line:
        """Connect where that is needed, and see how much waits to be folded, and that there are replicas enough."""
        with self._lines.doubting():
            line = await (await self._lines.to(self._key)).open()
            usage = packed(("MEMORY", "USAGE", self._name))
            used = int(await line.send(usage) or 0)
            if used > self._max_backlog_bytes:
                raise Unavailable(
                    f"{used >> 20} MiB of events wait to be folded, more than the "
                    f"{self._max_backlog_bytes >> 20} MiB the stream may hold; are the workers up?"
                )
            if self._replicas:
                self._check_copies(await line.send(self._wait))
            if line is not self._taker:
                await self._send_again(line)
        self._line = self._taker = line
        self._measure_at = time.monotonic() + _MEASURE_EVERY_S
        return line

    async def _send_again(self, line: Line) -> None:
        """A connection was lost, perhaps with the server and what it had not written: bring it what is recent."""
        count = len(self._recent)
        for part in self._recent.parts():
            _check(await line.send(b"".join(map(self._xadd, part)), len(part)))
        self._recent.retaken()
        if count:
            _log.info(
                "the last %d entries were sent again to %s, on a new connection", count, self._key
            )

    def _xadd(self, entry: bytes) -> bytes:
        return _XADD % (len(self._name), self._name, len(entry), entry)

    def _send(self, line: Line, entry: bytes) -> Awaitable[None]:
        if self._replicas:
            return self._replicated(line.send(self._xadd(entry) + self._wait, 2), entry)
        answer = line.send(self._xadd(entry))
        answer.add_done_callback(partial(self._answered, entry))
        return answer

    def _answered(self, entry: bytes, answer: "asyncio.Future[Answer]") -> None:
        if not answer.cancelled() and answer.exception() is None:
            self._recent.taken(entry)

    async def _replicated(self, answers: "asyncio.Future[list[Answer]]", entry: bytes) -> None:
        with self._lines.doubting():
            _check(await answers)
            self._check_copies(answers.result()[1])
        self._recent.taken(entry)

    def _check_copies(self, copies: Answer) -> None:
        assert isinstance(copies, int)  # so WAIT answers
        if copies < self._replicas:
            self._measure_at = 0.0  # nothing is sent in vain: the next entry looks first
            raise Unavailable(
                f"{copies} replicas of its primary have what is in the stream {self._key}, and PULLARM_REPLICAS is "
                f"{self._replicas}: what it alone has would be lost with it"
            )

    def unwell(self) -> None:
        """It did not take an entry: look before the next."""
        self.well = False
        self._line = None
        self.try_at = time.monotonic() + _MEASURE_EVERY_S


def _check(answers: Sequence[Answer]) -> None:
    """Raise Unavailable where one is an error."""
    for answer in answers:
        if isinstance(answer, ResponseError):
            raise Unavailable(f"Redis refuses: {answer}")


class StreamSource:
    """One consumer of the ledger's group on one stream."""

    def __init__(self, client: Client, consumer: str, shard: int) -> None:
        self.shard = shard
        self._client = client
        self._consumer = consumer
        self._key = keys.events(shard)

    async def claim(self, count: int, wait_ms: int) -> list[Entry]:
        """New entries, at most `count`; waits up to wait_ms for the first."""

        async def read(redis: Redis) -> list[Entry]:
            answer = await redis.xreadgroup(
                keys.GROUP,
                self._consumer,
                {self._key: ">"},
                count=count,
                block=wait_ms or None,  # to the server 0 means for ever
            )
            return [entry for _, entries in answer for entry in self._entries(entries)]

        try:
            return await on(self._client, self._key, read)
        except ResponseError as error:
            # No group: a new stream, or one that was emptied. From 0, so that nothing in it is missed.
            if not str(error).startswith("NOGROUP"):
                raise
            await on(self._client, self._key, self._make_group)
            return await on(self._client, self._key, read)

    async def _make_group(self, redis: Redis) -> None:
        try:
            await redis.xgroup_create(self._key, keys.GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # another worker was faster
                raise

    async def reclaim(self, count: int, idle_ms: int) -> list[Entry]:
        """Entries that a consumer claimed and left unacknowledged for idle_ms."""

        async def take_over(redis: Redis) -> list[Entry]:
            answer = await redis.xautoclaim(
                self._key, keys.GROUP, self._consumer, idle_ms, count=count
            )
            return self._entries(answer[1])

        try:
            return await on(self._client, self._key, take_over)
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            return []

    async def acknowledge(self, entries: Sequence[Entry]) -> None:
        """The entries are folded: forget them."""
        ids = [entry.id for entry in entries]

        async def forget(redis: Redis) -> None:
            async with redis.pipeline(transaction=True) as pipe:
                pipe.xack(self._key, keys.GROUP, *ids)
                pipe.xdel(self._key, *ids)
                await pipe.execute()

        await on(self._client, self._key, forget)

    async def forget_the_gone(self, idle_ms: int) -> None:
        """Remove consumers that were killed long ago; one with entries pending waits until those are reclaimed."""

        async def remove(redis: Redis) -> None:
            for consumer in await consumers(redis, self._key):
                if consumer["pending"] == 0 and consumer["idle"] > idle_ms:
                    await redis.xgroup_delconsumer(self._key, keys.GROUP, consumer["name"])

        await on(self._client, self._key, remove)

    async def leave(self) -> None:
        """Remove this consumer, unless entries are still pending with it: those wait to be reclaimed."""

        async def remove(redis: Redis) -> None:
            for consumer in await consumers(redis, self._key):
                if consumer["name"] == self._consumer.encode() and consumer["pending"] == 0:
                    await redis.xgroup_delconsumer(self._key, keys.GROUP, self._consumer)

        await on(self._client, self._key, remove)

    def _entries(self, raw: Sequence[Any]) -> list[Entry]:
        # An entry deleted while it was claimed comes back without fields.
        return [Entry(id.decode(), fields[FIELD], self.shard) for id, fields in raw if fields]


async def consumers(redis: Redis, key: str) -> list[dict[str, Any]]:
    """The consumers of the ledger's group on a stream."""
    try:
        found: list[dict[str, Any]] = await redis.xinfo_consumers(key, keys.GROUP)
    except ResponseError as error:  # no stream or no group: a new server, or one that was emptied
        if str(error).startswith(NOT_NOW):
            raise
        return []
    return found
