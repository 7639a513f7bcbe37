"""A process is on the board while it runs, whatever becomes of the board, and takes itself off in the end."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from pullarm import presence
from pullarm.domain.errors import Unavailable
from pullarm.domain.instance import Condition, Instance, Part
from pullarm.presence import present, this_process
from pullarm.storage.memory import MemoryInstances
from pullarm.storage.redis import RedisInstances, connect, keys

PATIENCE_S = 30


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "TELL_EVERY_S", 0.01)
    monkeypatch.setattr(presence, "_LEAVE_WITHIN_S", PATIENCE_S)  # however busy the machine is


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await true():
            await asyncio.sleep(0.005)


async def test_it_is_there_while_it_runs_and_says_how_it_is(redis_url: str) -> None:
    now = Condition(status="unready", reasons=("the process is stopping",), snapshot_age_s=1.5)
    conditions = [now, Condition()]
    async with connect(redis_url) as redis:
        board, own = RedisInstances(redis), this_process(Part.SERVING, "serving-0", "[::]:1")

        async def as_now() -> bool:
            return [each.instance for each in await board.all()] == [
                replace(own, condition=conditions[0])
            ]

        async with present(board, own, lambda: conditions[0]):
            await until(as_now)
            conditions.pop(0)
            await until(as_now)
            await redis.delete(keys.INSTANCES)  # as an emptied server
            await until(as_now)
        assert await board.all() == []


async def test_what_is_not_ours_is_left_out_and_what_is_no_hash_is_made_one(redis_url: str) -> None:
    own = this_process(Part.CONTROL, "control")
    async with connect(redis_url) as redis:
        board = RedisInstances(redis)
        await redis.set(keys.INSTANCES, "something")
        await board.tell(own)
        ask: Callable[..., Awaitable[Any]] = redis.execute_command
        stamp = (await ask("HGET", keys.INSTANCES, own.identity)).partition(b":")[0]
        await ask("HSET", keys.INSTANCES, "newer", stamp + b":\x81\xa4part\xa5other")
        await ask("HSET", keys.INSTANCES, "none", b"?")
        assert [each.instance for each in await board.all()] == [own]
        await board.tell(own)
        assert set(await ask("HKEYS", keys.INSTANCES)) == {b"newer", own.identity.encode()}


class Troubled(MemoryInstances):
    """A board that fails in one way after the other, and is there then."""

    def __init__(self, *troubles: Exception) -> None:
        super().__init__()
        self._troubles = list(troubles)

    async def tell(self, instance: Instance) -> None:
        if self._troubles:
            raise self._troubles.pop(0)
        await super().tell(instance)

    async def forget(self, instance: Instance) -> None:
        raise Unavailable("Redis is away: refused")


async def test_trouble_is_told_in_the_log_and_gone_through(
    caplog: pytest.LogCaptureFixture,
) -> None:
    board, own = Troubled(Unavailable("away"), RuntimeError("odd")), this_process(Part.WORKER, "w")

    async def told() -> bool:
        return [each.instance for each in await board.all()] == [own]

    async with present(board, own):
        await until(told)
    assert [each.levelname for each in caplog.records if each.name == presence.__name__] == [
        "ERROR"
    ]
