"""What a Redis-compatible server says of itself, for `pullarm doctor`."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from pullarm.domain.checkup import StreamFacts
from pullarm.domain.intake import Backlog
from pullarm.domain.servers import RedisFacts
from pullarm.storage.redis import keys
from pullarm.storage.redis.cluster import Client, on
from pullarm.storage.redis.connection import driver_errors
from pullarm.storage.redis.events import shards_of
from pullarm.storage.redis.queue import HEALTH
from pullarm.storage.redis.stream import consumers

BEAT_WITHIN_S = 5.0
_LOOK_EVERY_S = 0.1
_ALIVE_MS = 15_000
"""A worker asks for events every second or so; one that folds a large batch takes longer."""


async def look(redis: Redis) -> RedisFacts:
    """Raises Unavailable while the server is away."""
    with driver_errors():
        info: Mapping[str, Any] = await redis.info()
        try:
            syncs = (await redis.config_get("appendfsync")).get("appendfsync", "")
        except ResponseError:  # whoever rents it may not ask
            syncs = ""
    valkey = "valkey_version" in info
    return RedisFacts(
        name="Valkey" if valkey else "Redis",
        version=str(info["valkey_version" if valkey else "redis_version"]),
        compatible=tuple(int(part) for part in str(info["redis_version"]).split(".")[:2]),
        replica=info["role"] != "master",
        replicas=info["connected_slaves"],
        policy=info["maxmemory_policy"],
        max_bytes=info["maxmemory"],
        used_bytes=info["used_memory"],
        appends=bool(info["aof_enabled"]),
        syncs=syncs,
        complaint=_complaint(info),
        evicted=info["evicted_keys"],
    )


def _complaint(info: Mapping[str, Any]) -> str:
    names = ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
    return ", ".join(f"{name} is {info[name]}" for name in names if info.get(name, "ok") != "ok")


async def clock_ms(redis: Redis) -> int:
    """The time by the server's own clock, in milliseconds. Raises Unavailable."""
    with driver_errors():
        seconds, micro = await redis.time()
    return int(seconds) * 1000 + int(micro) // 1000


async def backlog(client: Client) -> Backlog:
    """How much waits to be folded, and for how long, by the servers' own clocks. Raises Unavailable."""
    found = [await on(client, key, partial(_backlog, key)) for key in _streams(client)]
    return Backlog(
        entries=sum(each.entries for each in found),
        used_bytes=sum(each.used_bytes for each in found),
        oldest_s=max(each.oldest_s for each in found),
    )


async def _backlog(key: str, redis: Redis) -> Backlog:
    # Entries go when they are folded, so the first is the oldest that waits; its id begins with the time.
    first = await redis.xrange(key, count=1)
    entries, used = await redis.xlen(key), await redis.memory_usage(key)
    if not first:
        return Backlog(entries=0, used_bytes=int(used or 0), oldest_s=0.0)
    appended_ms = int(first[0][0].partition(b"-")[0])
    age_s = max(0.0, (await clock_ms(redis) - appended_ms) / 1_000)
    return Backlog(entries=entries, used_bytes=int(used or 0), oldest_s=age_s)


def _streams(client: Client) -> list[str]:
    return [keys.events(shard) for shard in shards_of(client)]


async def look_at_stream(client: Client) -> StreamFacts:
    """Takes as long as the next beat of the workers, at most BEAT_WITHIN_S. Raises Unavailable."""

    async def beat(redis: Redis) -> bytes | None:
        found: bytes | None = await redis.get(keys.BEAT)
        return found

    before, beats = await on(client, keys.BEAT, beat), False
    for _ in range(round(BEAT_WITHIN_S / _LOOK_EVERY_S)):
        await asyncio.sleep(_LOOK_EVERY_S)
        if beats := await on(client, keys.BEAT, beat) != before:
            break
    taking = [await on(client, key, partial(_taking, key)) for key in _streams(client)]
    waiting = await backlog(client)
    return StreamFacts(
        entries=waiting.entries,
        used_bytes=waiting.used_bytes,
        consumers=min(taking),  # of a stream that nobody reads
        beats=beats,
    )


async def _taking(key: str, redis: Redis) -> int:
    return sum(each["idle"] < _ALIVE_MS for each in await consumers(redis, key))


async def cron_lives(redis: Redis) -> bool:
    """Whether a worker's arq looked after its jobs a moment ago; `redis` is the queue's server. Raises Unavailable."""
    with driver_errors():
        return bool(await redis.exists(HEALTH))
