"""Each entry goes to one consumer until it is folded, and none is missed."""

import asyncio

from tests.contract.conftest import Stream


async def _append(stream: Stream, *payloads: bytes) -> None:
    for payload in payloads:
        await stream.sink.append(payload)


async def test_entry_is_claimed_once(stream: Stream) -> None:
    await _append(stream, b"\x00\xffa", b"b", b"c")
    first = await stream.first.claim(2, 0)
    second = await stream.second.claim(2, 0)
    assert [entry.payload for entry in first] == [b"\x00\xffa", b"b"]
    assert [entry.payload for entry in second] == [b"c"]
    assert await stream.first.claim(2, 0) == []


async def test_entries_older_than_the_first_consumer_are_claimed(stream: Stream) -> None:
    await _append(stream, b"a")
    assert [entry.payload for entry in await stream.first.claim(10, 0)] == [b"a"]


async def test_claim_waits_for_the_first_entry(stream: Stream) -> None:
    waiting = asyncio.create_task(stream.first.claim(10, 4_000))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await _append(stream, b"late")
    assert [entry.payload for entry in await waiting] == [b"late"]


async def test_claim_without_waiting_returns_at_once(stream: Stream) -> None:
    async with asyncio.timeout(60):
        assert await stream.first.claim(10, 0) == []
        assert await stream.first.claim(10, 0) == []


async def test_abandoned_entry_is_taken_over_once_idle(stream: Stream) -> None:
    await _append(stream, b"a", b"b")
    abandoned = await stream.first.claim(10, 0)
    assert await stream.second.reclaim(10, 60_000) == []
    assert await stream.second.reclaim(1, 0) == abandoned[:1]
    assert await stream.second.reclaim(10, 0) == abandoned
    assert await stream.second.claim(10, 0) == []


async def test_unclaimed_entry_is_not_taken_over(stream: Stream) -> None:
    await stream.first.claim(1, 0)
    await _append(stream, b"a")
    assert await stream.second.reclaim(10, 0) == []


async def test_acknowledged_entry_is_gone(stream: Stream) -> None:
    await _append(stream, b"a", b"b")
    a, b = await stream.first.claim(10, 0)
    await stream.first.acknowledge([a])
    assert await stream.second.reclaim(10, 0) == [b]
    await stream.first.acknowledge([a, b])
    await stream.first.acknowledge([])
    assert await stream.second.reclaim(10, 0) == []
    assert await stream.length() == 0


async def test_entries_are_kept_until_they_are_acknowledged(stream: Stream) -> None:
    assert await stream.length() == 0
    await _append(stream, b"a", b"b", b"c")
    assert await stream.length() == 3
    claimed = await stream.first.claim(2, 0)
    assert await stream.length() == 3
    await stream.first.acknowledge(claimed)
    assert await stream.length() == 1


async def test_emptied_stream_starts_anew(stream: Stream) -> None:
    await _append(stream, b"lost", b"held")
    held = await stream.first.claim(2, 0)
    await stream.empty()
    await asyncio.sleep(0.01)  # a server numbers entries by the millisecond
    assert await stream.second.reclaim(10, 0) == []
    await _append(stream, b"after")
    assert [entry.payload for entry in await stream.second.claim(10, 0)] == [b"after"]
    await stream.first.acknowledge(held)
    assert await stream.length() == 1
