"""Whatever gets into the board's keys, what is served stays sound, and the log says what is wrong with what."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random
from typing import cast

import pytest
from redis.asyncio import Redis

from pullarm.domain.errors import Unavailable
from pullarm.domain.experiment import State
from pullarm.storage.redis import RedisBoard, connect, keys
from serving import refresher as module
from serving.refresher import Refresher
from tests.builders import cells, experiment, grid, publication

SEVEN = experiment("thompson", "control")
EIGHT = experiment("ucb", number=8)
OUTCOMES = cells("thompson", (10, 4), (20, 3), (5, 1))
NOISE = Random(5).randbytes(300)
HEAD, CONFIG, GRID, POSTERIOR, HALT = (
    *(keys.head(7), keys.config(7), keys.grid(7), keys.posterior(7, 2)),
    keys.halt(7),
)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with connect(redis_url) as redis:
        yield redis


@pytest.fixture
async def board(redis: Redis) -> RedisBoard:
    """A board with both experiments, complete."""
    board = RedisBoard(redis)
    await board.publish(publication(SEVEN, OUTCOMES))
    await board.publish(publication(EIGHT))
    await board.complete("one", [7, 8])
    return board


async def _as_list(redis: Redis, key: str) -> None:
    await redis.delete(key)
    await cast("Awaitable[int]", redis.rpush(key, "a", "list"))


async def _noise(redis: Redis, key: str) -> None:
    await redis.set(key, NOISE)


async def _noisy_blob(redis: Redis, key: str) -> None:
    await cast("Awaitable[int]", redis.hset(key, mapping={"blob": NOISE}))


async def _shorter(redis: Redis, key: str) -> None:
    await redis.set(key, (await redis.get(key))[:-5])


async def _noise_of_that_length(redis: Redis, key: str) -> None:
    await redis.set(key, NOISE[: await redis.strlen(key)])


async def _gone(redis: Redis, key: str) -> None:
    await redis.delete(key)


async def _nonsense(redis: Redis, key: str) -> None:
    await redis.set(key, b"perhaps")


Damage = Callable[[Redis, str], Awaitable[None]]
DAMAGES: list[tuple[str, Damage, str]] = [
    (HEAD, _as_list, "head is no hash"),
    (HEAD, _noise, "head is no hash"),
    (HEAD, _noisy_blob, "head cannot be read"),
    (CONFIG, _as_list, "configuration is missing"),
    (CONFIG, _noise, "configuration cannot be read"),
    (CONFIG, _shorter, "configuration cannot be read"),
    (CONFIG, _gone, "configuration is missing"),
    (GRID, _as_list, "grid 1 is missing"),
    (GRID, _noise, "grid has 300 bytes"),
    (GRID, _noise_of_that_length, "grid points must"),
    (POSTERIOR, _as_list, "posterior of thompson is missing"),
    (POSTERIOR, _shorter, "posterior of thompson has 43 bytes"),
    (POSTERIOR, _noise_of_that_length, "arm row"),
    (HALT, _as_list, "halt is no string"),
    (HALT, _nonsense, "halt cannot be read"),
]


@pytest.mark.parametrize(("key", "damage", "problem"), DAMAGES)
async def test_fresh_process_serves_the_others_and_names_the_damage(
    redis: Redis,
    board: RedisBoard,
    key: str,
    damage: Damage,
    problem: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await damage(redis, key)
    refresher = Refresher(board)
    await refresher.refresh()
    assert set(refresher.snapshot.by_number) == {8}
    assert (refresher.refused, refresher.snapshot.missing) == (1, 1)
    (told,) = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert "experiment 7" in told
    assert problem in told


@pytest.mark.parametrize(("key", "damage", "problem"), DAMAGES)
async def test_old_one_serves_on_until_the_damage_is_mended(
    redis: Redis,
    board: RedisBoard,
    key: str,
    damage: Damage,
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FULL_LOOK_S", 0.0)
    refresher = Refresher(board)
    await refresher.refresh()
    first = refresher.snapshot.by_number[7]
    changed = experiment("thompson", "control", config_no=2)
    planned = grid(changed, OUTCOMES, number=1)
    await board.publish(publication(changed, OUTCOMES, pub_no=2, planned=planned))
    await board.publish(publication(EIGHT, pub_no=2))
    await damage(redis, key)
    for _ in range(3):
        await refresher.refresh()
    assert refresher.snapshot.by_number[7] is first
    assert refresher.snapshot.by_number[8].head.pub_no == 2
    assert problem in refresher.problems[7]
    assert refresher.refused == 1

    await redis.delete(HALT)
    await board.publish(publication(changed, OUTCOMES, pub_no=3, planned=planned))
    await refresher.refresh()
    assert refresher.snapshot.by_number[7].head.pub_no == 3
    assert refresher.problems == {}


async def test_halt_is_obeyed_though_the_publication_cannot_be_read(
    redis: Redis, board: RedisBoard
) -> None:
    refresher = Refresher(board)
    await refresher.refresh()
    await board.publish(publication(SEVEN, OUTCOMES, pub_no=2))
    await _noise(redis, POSTERIOR)
    await board.halt(7, State.ROLLED_BACK)
    await refresher.refresh()
    served = refresher.snapshot.by_number[7]
    assert (served.head.pub_no, served.halt) == (1, State.ROLLED_BACK)
    assert served.standing.name == "ROLLED_BACK"


@pytest.mark.parametrize("damage", [_as_list, _shorter, _gone])
async def test_difference_is_not_put_on_a_damaged_posterior(
    redis: Redis, board: RedisBoard, damage: Damage
) -> None:
    await damage(redis, POSTERIOR)
    following = publication(
        SEVEN, OUTCOMES[:1], pub_no=2, complete=False, planned=grid(SEVEN, OUTCOMES)
    )
    assert not await board.publish(following)
    assert await board.publish(publication(SEVEN, OUTCOMES, pub_no=3))
    published = await board.read(7, None)
    assert published is not None
    assert published.head.pub_no == 3


@pytest.mark.parametrize("damage", [_as_list, _nonsense])
@pytest.mark.parametrize("key", [keys.CHANGES, keys.BEAT, keys.COMPLETE])
async def test_damaged_board_keys_stop_neither_side(
    redis: Redis, board: RedisBoard, key: str, damage: Damage
) -> None:
    refresher = Refresher(board)
    await refresher.refresh()
    await damage(redis, key)
    await refresher.refresh()
    await board.publish(publication(EIGHT, pub_no=2))
    await board.beat()
    await board.complete("one", [7, 8])
    await refresher.refresh()
    assert refresher.snapshot.by_number[8].head.pub_no == 2


async def test_board_without_its_server_is_unavailable() -> None:
    async with connect("redis://127.0.0.1:1/0") as nowhere:
        board = RedisBoard(nowhere)
        for looking in (board.versions([7]), board.index(), board.read(7, None), board.beat()):
            with pytest.raises(Unavailable):
                await looking
