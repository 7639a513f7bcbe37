"""Who may call serving: posted whole by workers, read whole by serving where it has changed."""

from collections.abc import Awaitable, Sequence
from hashlib import sha256

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from pullarm.domain.access import Caller
from pullarm.domain.ports import Posted
from pullarm.storage.redis import keys
from pullarm.storage.redis.cluster import Client, on

_STAMP_BYTES = 32
_CALLERS = msgspec.msgpack.Decoder(tuple[Caller, ...])


class RedisCallers:
    """Who may call serving, in a Redis-compatible server."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def post(self, callers: Sequence[Caller]) -> bool:
        """Make these the ones; False where they are already."""
        rows = msgspec.msgpack.encode(tuple(callers))
        value = sha256(rows).digest() + rows
        if await self._get() == value:
            return False
        await on(self._client, keys.CALLERS, lambda redis: redis.set(keys.CALLERS, value))
        return True

    async def read(self, have: bytes) -> Posted | None:
        """What is posted; None where nothing is, or what has this stamp. Raises ValueError where it is damaged."""
        stamp = await on(self._client, keys.CALLERS, _stamp)
        if stamp in (have, b""):
            return None
        value = await self._get()
        stamp, rows = value[:_STAMP_BYTES], value[_STAMP_BYTES:]
        if sha256(rows).digest() != stamp:
            raise ValueError("the tokens on the board are damaged")
        try:
            return Posted(stamp, _CALLERS.decode(rows))
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise ValueError(f"the tokens on the board cannot be read: {error}") from error

    async def _get(self) -> bytes:
        return await on(self._client, keys.CALLERS, lambda redis: _bytes(redis.get(keys.CALLERS)))


async def _stamp(redis: Redis) -> bytes:
    return await _bytes(redis.getrange(keys.CALLERS, 0, _STAMP_BYTES - 1))


async def _bytes(answer: Awaitable[bytes | None]) -> bytes:
    """What a key holds; nothing where something else has got into it."""
    try:
        return await answer or b""
    except ResponseError as error:
        if not str(error).startswith("WRONGTYPE"):
            raise
        return b""
