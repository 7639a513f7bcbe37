"""What was folded of traced requests: a short list for each experiment, gone by itself."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from pullarm.domain.errors import Unavailable
from pullarm.domain.ports import Mark
from pullarm.storage.redis import keys
from pullarm.storage.redis.cluster import Client, on

MOST = 1_000
"""Marks of one experiment; publications follow folds within tenths of a second."""
KEPT_S = 60
_MARK = msgspec.msgpack.Decoder(Mark)


class RedisTraces:
    """Marks on one server or a cluster."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def leave(self, number: int, marks: Sequence[Mark]) -> None:
        """Add marks to an experiment's; only the newest are kept, and none for longer than a minute."""
        key = keys.traces(number)

        async def add(redis: Redis) -> None:
            async with redis.pipeline(transaction=False) as pipe:
                pipe.rpush(key, *map(msgspec.msgpack.encode, marks))
                pipe.ltrim(key, -MOST, -1)
                pipe.expire(key, KEPT_S)
                await pipe.execute()

        with _errors():
            await on(self._client, key, add)

    async def left(self, number: int, since: int, upto: int) -> list[Mark]:
        """Those of the folds after `since`, up to `upto`; what cannot be read is left out."""
        key = keys.traces(number)

        async def read(redis: Redis) -> list[bytes]:
            asking: Any = redis.lrange(key, 0, -1)
            found: list[bytes] = await asking
            return found

        with _errors():
            found = await on(self._client, key, read)
        marks = []
        for packed in found:
            with suppress(msgspec.ValidationError, msgspec.DecodeError):
                marks.append(_MARK.decode(packed))
        return [mark for mark in marks if since < mark.fold_no <= upto]


@contextmanager
def _errors() -> Iterator[None]:
    """Nobody's work may end because of a trace: whatever the server says, it is Unavailable."""
    try:
        yield
    except ResponseError as error:
        raise Unavailable(f"Redis keeps no traces: {error}") from error
