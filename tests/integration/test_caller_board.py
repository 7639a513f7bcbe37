"""What has got into the key of the callers is noticed by readers and made good by the next post."""

import pytest

from pullarm.domain.access import Caller
from pullarm.storage.redis import RedisCallers, connect, keys

CALLER = Caller(b"digest", "name", None, None)


async def test_a_damaged_list_is_refused_and_made_good(redis_url: str) -> None:
    async with connect(redis_url) as redis:
        board = RedisCallers(redis)
        await board.post([CALLER])
        await redis.setrange(keys.CALLERS, 40, b"?")
        with pytest.raises(ValueError, match="damaged"):
            await board.read(b"")
        assert await board.post([CALLER])
        assert await board.read(b"") is not None
        await redis.delete(keys.CALLERS)
        await redis.xadd(keys.CALLERS, {"some": "stream"})
        assert await board.read(b"") is None
        assert await board.post([CALLER])
        assert await board.read(b"") is not None
