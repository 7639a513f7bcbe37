from collections.abc import AsyncIterator

import pytest
from httpx import AsyncClient

from pullarm.storage.postgres import Database
from pullarm.storage.redis import RedisBoard, connect
from tests.control_api import Clock, app_over, client_of


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url) as opened:
        yield opened


@pytest.fixture
async def board(redis_url: str) -> AsyncIterator[RedisBoard]:
    redis = connect(redis_url)
    yield RedisBoard(redis)
    await redis.aclose()


@pytest.fixture
async def client(database: Database, board: RedisBoard, clock: Clock) -> AsyncIterator[AsyncClient]:
    async with client_of(app_over(database, board, clock)) as connected:
        yield connected
