"""Serving's own connection to the event stream, on a real server that is cut off, silent or wrongly spoken to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from redis.asyncio import Redis

from pullarm.domain.errors import Unavailable
from pullarm.storage.redis import RedisEventSink, connect, keys

STREAM = keys.events(0)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with connect(redis_url) as redis:
        yield redis


@pytest.fixture
async def sink(redis: Redis) -> AsyncIterator[RedisEventSink]:
    sink = RedisEventSink(redis)
    yield sink
    await sink.aclose()


async def stored(redis: Redis) -> list[bytes]:
    return [fields[b"b"] for _, fields in await redis.xrange(STREAM)]


async def appended(sink: RedisEventSink, entry: bytes) -> None:
    """Until it says so: an impatient client may take a busy server for a silent one."""
    async with asyncio.timeout(60):
        while True:
            with suppress(Unavailable):
                return await sink.append(entry)


async def test_entries_of_any_bytes_arrive_in_order(redis: Redis, sink: RedisEventSink) -> None:
    entries = [b"\r\n$3\r\n", b"", bytes(range(256)) * 1_000, *(b"%d" % n for n in range(200))]
    await sink.append(b"first")
    await asyncio.gather(*(sink.append(entry) for entry in entries))
    assert await stored(redis) == [b"first", *entries]


async def test_lost_connection_is_told_and_the_next_entry_makes_a_new_one(
    redis: Redis, sink: RedisEventSink
) -> None:
    await sink.append(b"before")
    await redis.client_pause(60_000, all=False)
    in_flight = asyncio.ensure_future(sink.append(b"lost"))
    await asyncio.sleep(0)
    await redis.client_kill_filter(_type="normal", skipme=True)
    with pytest.raises(Unavailable, match="Redis is away"):
        await in_flight
    await redis.client_unpause()
    await sink.append(b"after")
    # Nobody can tell from here whether the server is the one that took it.
    assert await stored(redis) == [b"before", b"before", b"after"]


async def lose(redis: Redis) -> None:
    """All that the server has, and its connections: as if it were killed and had written nothing."""
    await redis.flushdb()
    await redis.client_kill_filter(_type="normal", skipme=True)


async def test_server_that_comes_back_with_less_is_brought_the_last_seconds(
    redis: Redis, sink: RedisEventSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pullarm.storage.redis.stream.KEPT_S", 0.2)
    await sink.append(b"old")
    await asyncio.sleep(0.3)
    recent = [b"%d" % n for n in range(200)]
    await sink.append(recent[0])
    monkeypatch.setattr("pullarm.storage.redis.stream.KEPT_S", 60.0)
    await asyncio.gather(*map(sink.append, recent[1:]))
    for _ in range(2):  # what was sent again is recent for the next server
        await lose(redis)
        await sink.append(b"next")
        recent.append(b"next")
        assert await stored(redis) == recent


async def test_what_is_kept_for_such_a_server_is_bounded(
    redis: Redis, sink: RedisEventSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pullarm.storage.redis.stream.KEPT_BYTES", 3_000)
    for n in range(5):
        await sink.append(bytes([n]) * 1_000)
    await lose(redis)
    await sink.append(b"next")
    assert await stored(redis) == [*(bytes([n]) * 1_000 for n in (2, 3, 4)), b"next"]


async def test_server_that_refuses_what_is_recent_is_asked_again(
    redis: Redis, sink: RedisEventSink
) -> None:
    await sink.append(b"before")
    await lose(redis)
    await redis.set(STREAM, "no stream")
    with pytest.raises(Unavailable, match="Redis refuses: WRONGTYPE"):
        await sink.append(b"refused")
    await redis.delete(STREAM)
    await sink.append(b"after")
    assert await stored(redis) == [b"before", b"after"]


async def test_silent_server_is_given_up(redis: Redis, redis_url: str) -> None:
    async with connect(redis_url, timeout_s=0.3) as impatient:
        sink = RedisEventSink(impatient)
        await appended(sink, b"before")
        await redis.client_pause(60_000, all=False)
        try:
            with pytest.raises(Unavailable, match="Redis is away"):
                await asyncio.wait_for(sink.append(b"never answered"), 60)
        finally:
            await redis.client_unpause()
        await appended(sink, b"after")
    assert (await stored(redis))[-1] == b"after"


async def test_caller_that_gives_up_leaves_the_answers_in_step(
    redis: Redis, sink: RedisEventSink
) -> None:
    await sink.append(b"first")
    given_up = asyncio.ensure_future(sink.append(b"given up"))
    kept = asyncio.ensure_future(sink.append(b"kept"))
    given_up.cancel()
    await kept
    await sink.append(b"last")
    assert await stored(redis) == [b"first", b"given up", b"kept", b"last"]


async def test_server_that_is_not_there_or_refuses_us_is_unavailable(redis_url: str) -> None:
    for url in ("redis://127.0.0.1:1", f"{redis_url}&password=wrong&username=nobody"):
        async with connect(url) as redis:
            with pytest.raises(Unavailable, match="Redis is away"):
                await RedisEventSink(redis).append(b"x")


async def test_whatever_the_server_says_but_yes_the_stream_is_away(
    redis: Redis, sink: RedisEventSink
) -> None:
    await sink.append(b"x")
    await redis.delete(STREAM)
    await redis.set(STREAM, "no stream")
    with pytest.raises(Unavailable, match="Redis refuses: WRONGTYPE"):
        await sink.append(b"x")
    await redis.delete(STREAM)
    await sink.append(b"y")
    assert await stored(redis) == [b"y"]


async def test_server_that_is_full_refuses_and_takes_entries_again_later(
    redis: Redis, sink: RedisEventSink
) -> None:
    await sink.append(b"before")
    limit = (await redis.config_get("maxmemory"))["maxmemory"]
    await redis.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(Unavailable, match="Redis refuses: OOM"):
            await sink.append(b"too much")
    finally:
        await redis.config_set("maxmemory", limit)
    await sink.append(b"after")
    assert await stored(redis) == [b"before", b"after"]
