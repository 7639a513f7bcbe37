"""Each port twice: in memory and real. What mypy accepts here is what makes them implementations of the ports."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import pytest

from pullarm.domain.ports import (
    AuditTrail,
    Board,
    EventSink,
    EventSource,
    ExperimentStore,
    GroupStore,
    Ledger,
)
from pullarm.domain.summary import Summaries
from pullarm.storage.memory import (
    MemoryBoard,
    MemoryEvents,
    MemoryExperiments,
    MemoryGroups,
    MemoryLedger,
    MemorySummary,
    MemoryTrail,
)
from pullarm.storage.postgres import (
    Database,
    PostgresExperiments,
    PostgresGroups,
    PostgresLedger,
    PostgresStatistics,
    PostgresSummary,
    PostgresTrail,
)
from pullarm.storage.redis import (
    RedisBoard,
    RedisEventSink,
    RedisEventSource,
    connect,
    keys,
    reach,
)
from pullarm.storage.redis.facts import backlog
from tests.services import empty_cluster


@dataclass
class Stores:
    """The experiments, their ledger and its figures."""

    experiments: ExperimentStore
    trail: AuditTrail
    groups: GroupStore
    ledger: Ledger
    summaries: Summaries
    settle: Callable[[int], Awaitable[None]]
    """Let an experiment's figures catch up with its fold."""
    history: Callable[[int], Awaitable[list[tuple[int, str, str, str]]]]
    """(config_no, action, actor, state) of every version of an experiment."""


@dataclass
class Stream:
    """One stream with two consumers."""

    sink: EventSink
    first: EventSource
    second: EventSource
    empty: Callable[[], Awaitable[object]]
    length: Callable[[], Awaitable[int]]
    """How many entries are kept."""


@pytest.fixture
def memory_stores() -> Stores:
    trail = MemoryTrail()
    experiments = MemoryExperiments(trail)

    async def history(number: int) -> list[tuple[int, str, str, str]]:
        return [
            (c.became.config_no, c.action, c.actor, c.became.state)
            for c in experiments.history(number)
        ]

    ledger = MemoryLedger(experiments)

    async def settle(number: int) -> None:
        """They are never behind."""

    groups = MemoryGroups(experiments, trail)
    return Stores(experiments, trail, groups, ledger, MemorySummary(ledger), settle, history)


@pytest.fixture
async def postgres_stores(database_url: str) -> AsyncIterator[Stores]:
    async with Database(database_url) as database:

        async def history(number: int) -> list[tuple[int, str, str, str]]:
            async with database.connection() as connection:
                rows = await connection.fetch(
                    "SELECT config_no, action, actor, state FROM experiment_revision"
                    " WHERE experiment_id = $1 ORDER BY config_no",
                    number,
                )
            return [tuple(row) for row in rows]

        yield Stores(
            PostgresExperiments(database),
            PostgresTrail(database),
            PostgresGroups(database),
            PostgresLedger(database),
            PostgresSummary(database),
            PostgresStatistics(database).catch_up,
            history,
        )


@pytest.fixture(params=["memory", "postgres"])
def stores(request: pytest.FixtureRequest) -> Stores:
    found: Stores = request.getfixturevalue(f"{request.param}_stores")
    return found


@pytest.fixture
def memory_stream() -> Stream:
    events = MemoryEvents()
    return Stream(events, events, events, events.clear, events.backlog)


@pytest.fixture
async def redis_stream(redis_url: str) -> AsyncIterator[Stream]:
    async with connect(redis_url) as redis:
        sink = RedisEventSink(redis)
        first, second = RedisEventSource(redis, "first"), RedisEventSource(redis, "second")
        length = partial(redis.xlen, keys.events(0))
        yield Stream(sink, first, second, redis.flushdb, length)
        await sink.aclose()


@pytest.fixture
async def cluster_stream(cluster_url: str) -> AsyncIterator[Stream]:
    """One of a cluster's: entries of several have no order."""
    async with reach(cluster_url) as client:
        sink = RedisEventSink(client, shards=(0,))
        first, second = (RedisEventSource(client, name, (0,)) for name in ("first", "second"))

        async def length() -> int:
            return (await backlog(client)).entries

        yield Stream(sink, first, second, partial(empty_cluster, cluster_url), length)
        await sink.aclose()


@pytest.fixture(params=["memory", "redis", "cluster"])
def stream(request: pytest.FixtureRequest) -> Stream:
    found: Stream = request.getfixturevalue(f"{request.param}_stream")
    return found


@pytest.fixture
def memory_board() -> Board:
    return MemoryBoard()


@pytest.fixture
async def redis_board(redis_url: str) -> AsyncIterator[Board]:
    async with connect(redis_url) as redis:
        yield RedisBoard(redis)


@pytest.fixture
async def cluster_board(cluster_url: str) -> AsyncIterator[Board]:
    async with reach(cluster_url) as client:
        yield RedisBoard(client)


@pytest.fixture(params=["memory", "redis", "cluster"])
def board(request: pytest.FixtureRequest) -> Board:
    found: Board = request.getfixturevalue(f"{request.param}_board")
    return found
