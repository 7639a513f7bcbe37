"""What was folded of traced requests is found by whoever publishes or serves that fold."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from pullarm.domain.errors import Unavailable
from pullarm.domain.ports import Mark, TraceBoard
from pullarm.storage.memory import MemoryTraces, traces
from pullarm.storage.redis import RedisTraces, connect, keys, reach
from pullarm.storage.redis.traces import KEPT_S, MOST

MARKS = [Mark(fold_no, f"parent of {fold_no}") for fold_no in (4, 5, 5, 6)]


@pytest.fixture
def memory_traces() -> TraceBoard:
    return MemoryTraces()


@pytest.fixture
async def redis_traces(redis_url: str) -> AsyncIterator[TraceBoard]:
    async with connect(redis_url) as redis:
        yield RedisTraces(redis)


@pytest.fixture
async def cluster_traces(cluster_url: str) -> AsyncIterator[TraceBoard]:
    async with reach(cluster_url) as client:
        yield RedisTraces(client)


@pytest.fixture(params=["memory", "redis", "cluster"])
def board(request: pytest.FixtureRequest) -> TraceBoard:
    found: TraceBoard = request.getfixturevalue(f"{request.param}_traces")
    return found


async def test_marks_are_those_of_the_folds_asked_for(board: TraceBoard) -> None:
    await board.leave(7, MARKS[:1])
    await board.leave(7, MARKS[1:])
    assert await board.left(7, 0, 9) == MARKS
    assert await board.left(7, 4, 5) == MARKS[1:3]
    assert await board.left(7, 6, 9) == []
    assert await board.left(8, 0, 9) == []


async def test_only_the_newest_are_kept(board: TraceBoard) -> None:
    assert MOST == traces.MOST
    await board.leave(7, [Mark(fold_no, "") for fold_no in range(1, MOST + 1)])
    await board.leave(7, [Mark(MOST + 1, "newest")])
    found = await board.left(7, 0, MOST + 1)
    assert (len(found), found[0].fold_no, found[-1].parent) == (MOST, 2, "newest")


async def test_they_are_forgotten(redis_url: str) -> None:
    async with connect(redis_url) as redis:
        await RedisTraces(redis).leave(7, MARKS)
        assert 0 < await redis.ttl(keys.traces(7)) <= KEPT_S


async def test_what_no_worker_wrote_is_left_out(redis_url: str) -> None:
    async with connect(redis_url) as redis:
        pushing: Any = redis.rpush(keys.traces(7), b"\xc1", b"\x91\x01")
        await pushing
        await RedisTraces(redis).leave(7, MARKS[:1])
        assert await RedisTraces(redis).left(7, 0, 9) == MARKS[:1]
        await redis.set(keys.traces(8), "no list")
        with pytest.raises(Unavailable, match="WRONGTYPE"):
            await RedisTraces(redis).left(8, 0, 9)
        with pytest.raises(Unavailable, match="WRONGTYPE"):
            await RedisTraces(redis).leave(8, MARKS)
