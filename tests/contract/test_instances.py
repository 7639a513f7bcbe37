"""Processes are listed while they say that they live, and for a while after they fell silent."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
from redis.asyncio import Redis

from pullarm.domain.instance import FORGOTTEN_MS, Condition, Instance, Part
from pullarm.domain.ports import InstanceBoard
from pullarm.storage.memory import MemoryInstances
from pullarm.storage.redis import RedisInstances, connect, keys, reach
from pullarm.storage.redis.cluster import home

SERVING = Instance(
    part=Part.SERVING,
    name="serving-0",
    host="b",
    pid=7,
    version="1.2.3",
    since_ms=1_790_000_000_123,
    address="127.0.0.1:50051",
    condition=Condition(status="degraded", reasons=("one", "another"), snapshot_age_s=0.5),
)
WORKER = Instance(
    part=Part.WORKER, name="worker", host="a", pid=7, version="1.2.3", since_ms=1_790_000_000_000
)


@dataclass
class Scene:
    """A board, and how to let time pass on it."""

    board: InstanceBoard
    pass_ms: Callable[[int], Awaitable[None]]


@pytest.fixture
def memory_scene() -> Scene:
    now_ms = [0]

    async def pass_ms(ms: int) -> None:
        now_ms[0] += ms

    return Scene(MemoryInstances(lambda: now_ms[0] / 1_000), pass_ms)


@pytest.fixture
async def redis_scene(redis_url: str) -> AsyncIterator[Scene]:
    async with connect(redis_url) as redis:
        yield Scene(RedisInstances(redis), partial(pass_ms, redis))


@pytest.fixture
async def cluster_scene(cluster_url: str) -> AsyncIterator[Scene]:
    async with reach(cluster_url) as client:
        server = await home(client, keys.INSTANCES)
        yield Scene(RedisInstances(client), partial(pass_ms, server))


async def pass_ms(redis: Redis, ms: int) -> None:
    """The server's clock stays, so what was said is made older."""
    ask: Callable[..., Awaitable[Any]] = redis.execute_command
    for field in await ask("HKEYS", keys.INSTANCES):
        stamp, _, packed = (await ask("HGET", keys.INSTANCES, field)).partition(b":")
        older = b"%d:" % (int(stamp) - ms) + packed
        await ask("HSET", keys.INSTANCES, field, older)


@pytest.fixture(params=["memory", "redis", "cluster"])
def scene(request: pytest.FixtureRequest) -> Scene:
    found: Scene = request.getfixturevalue(f"{request.param}_scene")
    return found


async def listed(board: InstanceBoard) -> list[Instance]:
    return [each.instance for each in await board.all()]


async def test_what_each_said_last_is_listed(scene: Scene) -> None:
    board = scene.board
    assert await board.all() == []
    await board.tell(SERVING)
    await board.tell(WORKER)
    assert await listed(board) == [WORKER, SERVING]
    well = replace(SERVING, condition=Condition(snapshot_age_s=0.1))
    await board.tell(well)
    assert await listed(board) == [WORKER, well]
    await board.forget(WORKER)
    await board.forget(WORKER)
    assert await listed(board) == [well]


async def test_another_process_of_the_same_name_is_another_one(scene: Scene) -> None:
    others = [replace(SERVING, pid=8), replace(SERVING, host="c"), replace(SERVING, name="x")]
    for each in (SERVING, *others):
        await scene.board.tell(each)
    assert sorted(each.identity for each in await listed(scene.board)) == sorted(
        each.identity for each in (SERVING, *others)
    )


async def test_who_falls_silent_is_listed_for_a_while_and_then_forgotten(scene: Scene) -> None:
    board = scene.board
    await board.tell(SERVING)
    await scene.pass_ms(60_000)
    await board.tell(WORKER)
    silent = {each.instance.name: each.silent_s for each in await board.all()}
    assert 60 <= silent["serving-0"] < 90
    assert 0 <= silent["worker"] < 30
    await scene.pass_ms(FORGOTTEN_MS - 60_000)
    assert await listed(board) == [WORKER]
    await scene.pass_ms(60_000)
    assert await board.all() == []
