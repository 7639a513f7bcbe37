"""The connection that serving reads the board on: whose answer is whose, and what becomes of it when it is lost."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from cli.embedded import Wanted, embedded_services
from pullarm.domain.errors import Unavailable
from pullarm.domain.ports import BoardIndex
from pullarm.storage.redis import RedisBoard, connect, keys
from pullarm.storage.redis.line import Answer, LineKeeper, packed
from tests.builders import experiment, publication

NEVER_ANSWERED = packed(("BLPOP", "waited-for", "0"))


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with connect(redis_url) as redis:
        yield redis


@pytest.fixture
def keeper(redis: Redis) -> LineKeeper:
    return LineKeeper(redis)


def get(key: str) -> bytes:
    return packed(("GET", key))


async def asking(keeper: LineKeeper, *commands: bytes) -> "asyncio.Task[list[Answer]]":
    """An asking that was sent."""
    task = asyncio.create_task(keeper.ask(*commands))
    await asyncio.sleep(0)
    return task


async def answered(board: RedisBoard) -> BoardIndex:
    """What the board says as soon as it says anything."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await board.index()
            except Unavailable:
                await asyncio.sleep(0.01)


async def look_without_end(board: RedisBoard) -> None:
    while True:
        await board.index()


async def test_each_of_many_at_once_has_its_own_answers(redis: Redis, keeper: LineKeeper) -> None:
    values = {f"key-{n}": bytes([n]) * (200_000 if n % 10 == 0 else n) for n in range(50)}
    await redis.mset(values)
    names = list(values)
    told = await asyncio.gather(
        *(keeper.ask(*map(get, names[: n + 1]), packed(("MGET", *names[n:]))) for n in range(50))
    )
    for n, answers in enumerate(told):
        assert answers == [*(values[name] for name in names[: n + 1]), list(values.values())[n:]]


async def test_error_among_the_answers_is_one_of_them(redis: Redis, keeper: LineKeeper) -> None:
    await cast("Awaitable[int]", redis.lpush("list", "x"))
    await redis.set("string", "y")
    for ask in (keeper.ask, keeper.ask_at_once):
        wrong, string, missing = await ask(get("list"), get("string"), get("none"))
        assert isinstance(wrong, ResponseError)
        assert str(wrong).startswith("WRONGTYPE")
        assert (string, missing) == (b"y", None)


async def test_cause_is_told_when_none_of_the_commands_is_taken(
    redis: Redis, keeper: LineKeeper
) -> None:
    with pytest.raises(ResponseError, match="unknown command"):
        await keeper.ask_at_once(get("a"), packed(("NONSENSE",)), get("b"))
    limit = (await redis.config_get("maxmemory"))["maxmemory"]
    await redis.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(Unavailable, match="Redis takes no commands: OOM"):
            await keeper.ask_at_once(get("a"), packed(("SET", "a", "1")))
    finally:
        await redis.config_set("maxmemory", limit)
    assert await keeper.ask_at_once(get("a")) == [None]


async def test_caller_that_gives_up_leaves_the_next_answer_right(
    redis: Redis, keeper: LineKeeper
) -> None:
    await redis.mset({"a": "1", "b": "2"})
    await keeper.ask(get("a"))
    given_up = await asking(keeper, get("a"), NEVER_ANSWERED, get("a"))
    kept = await asking(keeper, get("b"))
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    await cast("Awaitable[int]", redis.rpush("waited-for", "at last"))
    assert await kept == [b"2"]
    assert await keeper.ask_at_once(get("b"), get("a")) == [b"2", b"1"]


async def test_connection_that_was_killed_is_told_and_the_next_asking_makes_a_new_one(
    redis: Redis, keeper: LineKeeper
) -> None:
    await redis.set("a", "1")
    for _ in range(3):
        await keeper.ask(get("a"))
        in_flight = await asking(keeper, get("a"), NEVER_ANSWERED)
        await redis.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(Unavailable, match="Redis is away"):
            await in_flight
        assert await keeper.ask(get("a")) == [b"1"]


async def test_server_that_is_silent_for_the_clients_time_out_is_given_up(redis_url: str) -> None:
    async with connect(redis_url, timeout_s=0.3) as impatient:
        keeper = LineKeeper(impatient)

        async def answers() -> list[Answer]:
            """In the end: what is impatient may take a busy server for a silent one."""
            async with asyncio.timeout(60):
                while True:
                    with suppress(Unavailable):
                        return await keeper.ask(get("a"))

        assert await answers() == [None]
        with pytest.raises(Unavailable, match="Redis is away"):
            await asyncio.wait_for(keeper.ask(get("a"), NEVER_ANSWERED), 60)
        assert await answers() == [None]


async def test_askings_that_find_no_connection_open_one_together(
    redis: Redis, keeper: LineKeeper
) -> None:
    who = packed(("CLIENT", "ID"))
    told = await asyncio.gather(*(keeper.ask(who) for _ in range(20)))
    assert len({str(answers) for answers in told}) == 1


async def test_closing_the_client_closes_the_line(redis_url: str) -> None:
    async with connect(redis_url) as redis:
        keeper = LineKeeper(redis)
        line = await keeper.open()
        in_flight = await asking(keeper, NEVER_ANSWERED)
    assert line.lost
    with pytest.raises(Unavailable, match="Redis is away"):
        await in_flight


async def test_board_is_read_again_after_its_server_was_killed(state_folder: Path) -> None:
    async with (
        embedded_services(state_folder, Wanted(postgres=False), print) as addresses,
        connect(addresses["REDIS_URL"]) as redis,
    ):
        await redis.config_set("appendfsync", "no")  # else it answers first while a disk is busy
        board = RedisBoard(redis)
        await board.publish(publication(experiment("thompson", "control")))
        await board.complete("one", [7])
        before = (await board.index(), await board.versions([7]), await board.read(7, None))
        first = (await redis.info("server"))["process_id"]
        os.kill(first, signal.SIGKILL)
        with pytest.raises(Unavailable, match="Redis is away"):
            await look_without_end(board)
        assert await answered(board) == before[0]
        assert (await board.versions([7]), await board.read(7, None)) == before[1:]
        assert (await redis.info("server"))["process_id"] != first


@pytest.mark.parametrize("count", [0, 2])
async def test_primary_that_is_demoted_is_left(state_folder: Path, count: int) -> None:
    async with (
        embedded_services(state_folder, Wanted(postgres=False), print) as addresses,
        connect(addresses["REDIS_URL"]) as redis,
    ):
        keeper, write = LineKeeper(redis), packed(("SET", "a", "1"))
        line = await keeper.open()
        await redis.replicaof("127.0.0.1", 1)
        with suppress(Unavailable):
            answers = await line.send(write * max(count, 1), count)
            assert str(answers[0]).startswith("READONLY")
        assert line.lost
        await redis.replicaof("NO", "ONE")
        assert await keeper.ask(write) == [b"OK"]


async def test_halt_is_read_on_a_connection_that_was_killed_while_idle(redis: Redis) -> None:
    board = RedisBoard(redis)
    await board.publish(publication(experiment("thompson", "control")))
    first = await board.versions([7])
    await redis.client_kill_filter(_type="normal", skipme=True)
    await redis.set(keys.halt(7), "stopped")
    await answered(board)
    assert await board.versions([7]) == {7: first[7]._replace(halt="stopped")}
