"""How much of the event stream waits to be folded, and for how long."""

import asyncio

from pullarm.storage.redis import RedisEventSink, RedisEventSource, connect
from pullarm.storage.redis.facts import backlog


async def test_oldest_entry_that_waits_tells_the_lag(redis_url: str) -> None:
    async with connect(redis_url) as redis:
        assert await backlog(redis) == (0, 0, 0.0)
        sink, source = RedisEventSink(redis), RedisEventSource(redis, "worker")
        for payload in (b"first", b"second"):
            await sink.append(payload)
        await sink.aclose()
        async with asyncio.timeout(60):
            while (waiting := await backlog(redis)).oldest_s < 0.05:
                await asyncio.sleep(0.01)
        assert waiting.entries == 2
        assert waiting.used_bytes > 0
        first, second = await source.claim(10, 100)
        assert (await backlog(redis)).entries == 2, "what a worker has in hand is not folded yet"
        await source.acknowledge([first])
        assert (await backlog(redis)).entries == 1
        await source.acknowledge([second])
        assert (await backlog(redis))[::2] == (0, 0.0)
