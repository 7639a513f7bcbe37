from collections.abc import AsyncIterator, Iterator

import pytest
from httpx import AsyncClient

from pullarm.free_port import free_port
from pullarm.storage.postgres import Database
from pullarm.storage.redis import RedisBoard, connect
from tests.control_api import Clock, app_over, client_of
from tests.relay import Relay


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url) as opened:
        yield opened


@pytest.fixture
async def reading(database_url: str) -> AsyncIterator[Database]:
    """The same database as a standby shows it: nothing can be written."""
    more = "&" if "?" in database_url else "?"
    async with Database(f"{database_url}{more}default_transaction_read_only=on") as opened:
        yield opened


@pytest.fixture
def relay(database_url: str) -> Iterator[Relay]:
    """Between the database and its client; it opens on the same port every time."""
    with free_port("127.0.0.1") as port:
        yield Relay(database_url, port)


@pytest.fixture
async def board(redis_url: str) -> AsyncIterator[RedisBoard]:
    redis = connect(redis_url)
    yield RedisBoard(redis)
    await redis.aclose()


@pytest.fixture
async def client(
    database: Database, reading: Database, board: RedisBoard, clock: Clock
) -> AsyncIterator[AsyncClient]:
    async with client_of(app_over(database, board, clock, reading=reading)) as connected:
        yield connected
