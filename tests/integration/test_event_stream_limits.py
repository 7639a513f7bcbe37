"""What the event stream does beyond its port: a bounded backlog, and consumers that are gone."""

import pytest

from pullarm.domain.errors import Unavailable
from pullarm.storage.redis import RedisEventSink, RedisEventSource, connect


async def test_a_backlog_beyond_its_limit_is_refused_until_it_is_folded(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pullarm.storage.redis.stream._MEASURE_EVERY_S", 0.0)
    redis = connect(redis_url)
    sink = RedisEventSink(redis, max_backlog_bytes=200_000)
    source = RedisEventSource(redis, "worker")
    for _ in range(30):
        await redis.xadd("pullarm:events:{0}", {"b": bytes(10_000)})
    with pytest.raises(Unavailable, match="wait to be folded"):
        await sink.append(b"one too many")
    await source.acknowledge(await source.claim(100, 0))
    await sink.append(b"room again")
    await sink.aclose()
    await redis.aclose()


async def test_only_consumers_long_gone_with_nothing_pending_are_forgotten(redis_url: str) -> None:
    redis = connect(redis_url)
    sink = RedisEventSink(redis)
    idle, busy = RedisEventSource(redis, "idle"), RedisEventSource(redis, "busy")
    await sink.append(b"a")
    assert len(await busy.claim(1, 0)) == 1
    await idle.claim(1, 0)
    await idle.forget_the_gone(60_000)
    assert await _names(redis_url) == {b"idle", b"busy"}
    await idle.forget_the_gone(-1)
    assert await _names(redis_url) == {b"busy"}
    assert [entry.payload for entry in await idle.reclaim(1, 0)] == [b"a"]
    await sink.aclose()
    await redis.aclose()


async def _names(redis_url: str) -> set[bytes]:
    redis = connect(redis_url)
    try:
        found = await redis.xinfo_consumers("pullarm:events:{0}", "ledger")
    finally:
        await redis.aclose()
    return {consumer["name"] for consumer in found}
