"""The processes of a platform, each in a field of one hash with the time by the server's own clock."""

from collections.abc import Awaitable, Iterator, Mapping
from typing import cast

import msgspec
from redis.asyncio import Redis

from pullarm.domain.instance import FORGOTTEN_MS, Heard, Instance
from pullarm.storage.redis import keys
from pullarm.storage.redis.cluster import Client, on
from pullarm.storage.redis.facts import clock_ms
from pullarm.storage.redis.scripts import run, script

_TELL = script("tell_instance")
_INSTANCE = msgspec.msgpack.Decoder(Instance)


class RedisInstances:
    """Which processes there are, on one server or a cluster."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def tell(self, instance: Instance) -> None:
        """Say that a process lives, and how it is; those that have been silent for long are forgotten."""
        told = msgspec.msgpack.encode(instance)
        await run(self._client, _TELL, [keys.INSTANCES], instance.identity, told, FORGOTTEN_MS)

    async def forget(self, instance: Instance) -> None:
        """A process has ended."""

        async def remove(redis: Redis) -> None:
            await cast("Awaitable[int]", redis.hdel(keys.INSTANCES, instance.identity))

        await on(self._client, keys.INSTANCES, remove)

    async def all(self) -> list[Heard]:
        """Those that were heard of lately, in the order of their identities."""

        async def read(redis: Redis) -> tuple[Mapping[bytes, bytes], int]:
            asked = cast("Awaitable[Mapping[bytes, bytes]]", redis.hgetall(keys.INSTANCES))
            return await asked, await clock_ms(redis)

        return list(_heard(*await on(self._client, keys.INSTANCES, read)))


def _heard(found: Mapping[bytes, bytes], now_ms: int) -> Iterator[Heard]:
    for _, told in sorted(found.items()):
        stamp, _, packed = told.partition(b":")
        silent_ms = max(0, now_ms - int(stamp)) if stamp.isdigit() else FORGOTTEN_MS
        try:
            instance = _INSTANCE.decode(packed)
        except (msgspec.ValidationError, msgspec.DecodeError):
            continue  # said by another version of the software
        if silent_ms < FORGOTTEN_MS:
            yield Heard(instance, silent_ms / 1_000)
