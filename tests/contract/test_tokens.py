"""Tokens and sessions: found by digest while they live, and by nothing else."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Protocol

import pytest

from pullarm.domain.access import Caller, Principal, Role, Token, digest
from pullarm.domain.audit import Author
from pullarm.domain.errors import NotFound
from pullarm.domain.ports import CallerBoard, SessionStore, TokenStore
from pullarm.storage.memory import MemoryCallers, MemoryTokens
from pullarm.storage.postgres import Database, PostgresTokens
from pullarm.storage.postgres.times import at
from pullarm.storage.redis import RedisCallers, connect, reach
from tests.ledger_events import START_MS

HOUR_MS = 3_600_000
AUTHOR, OTHER = Author("admin", "REST"), Author("another", "REST")


class Tokens(TokenStore, SessionStore, Protocol):
    """Both ports: a session lives no longer than its token."""


@pytest.fixture
def memory_tokens() -> Tokens:
    return MemoryTokens()


@pytest.fixture
async def postgres_tokens(database_url: str) -> AsyncIterator[Tokens]:
    async with Database(database_url) as database:
        yield PostgresTokens(database)


@pytest.fixture(params=["memory", "postgres"])
def tokens(request: pytest.FixtureRequest) -> Tokens:
    found: Tokens = request.getfixturevalue(f"{request.param}_tokens")
    return found


def token(
    number: int,
    role: Role = Role.VIEWER,
    *,
    experiments: frozenset[int] | None = None,
    hours: int | None = None,
) -> Token:
    return Token(
        principal=Principal(
            token_id=f"tok_{number}", name=f"name {number}", role=role, experiments=experiments
        ),
        created_at=at(START_MS + number),
        created_by="somebody",
        expires_at=None if hours is None else at(START_MS) + timedelta(hours=hours),
    )


async def test_a_token_is_found_by_its_digest_until_it_expires(tokens: Tokens) -> None:
    short = token(1, experiments=frozenset({3, 2}), hours=1)
    await tokens.create(short, digest("one"), AUTHOR)
    await tokens.create(token(2), digest("two"), AUTHOR)
    assert await tokens.of(digest("one"), START_MS) == short
    assert await tokens.of(digest("one"), START_MS + HOUR_MS - 1) == short
    assert await tokens.of(digest("one"), START_MS + HOUR_MS) is None
    assert await tokens.of(digest("two"), START_MS + 1000 * HOUR_MS) == token(2)
    assert await tokens.of(digest("three"), START_MS) is None
    assert await tokens.all() == [token(2), short]


async def test_a_revoked_token_is_listed_and_stands_for_nobody(tokens: Tokens) -> None:
    await tokens.create(token(1), digest("one"), AUTHOR)
    revoked = await tokens.revoke("tok_1", AUTHOR, START_MS + 5)
    assert (revoked.revoked_at, revoked.revoked_by) == (at(START_MS + 5), "admin")
    assert await tokens.revoke("tok_1", OTHER, START_MS + 9) == revoked
    assert await tokens.of(digest("one"), START_MS + 5) is None
    assert await tokens.all() == [revoked]
    with pytest.raises(NotFound, match="tok_9"):
        await tokens.revoke("tok_9", AUTHOR, START_MS)


async def test_callers_are_the_living_tokens_of_that_role(tokens: Tokens) -> None:
    scoped = token(1, Role.CALLER, experiments=frozenset({5, 4}), hours=1)
    await tokens.create(scoped, digest("one"), AUTHOR)
    await tokens.create(token(2, Role.ADMIN), digest("two"), AUTHOR)
    await tokens.create(token(3, Role.CALLER), digest("three"), AUTHOR)
    one = Caller(digest("one"), "name 1", (4, 5), START_MS + HOUR_MS)
    three = Caller(digest("three"), "name 3", None, None)
    assert list(await tokens.callers(START_MS)) == sorted([one, three])
    assert list(await tokens.callers(START_MS + HOUR_MS)) == [three]
    await tokens.revoke("tok_3", AUTHOR, START_MS)
    assert list(await tokens.callers(START_MS)) == [one]


async def test_a_session_ends_by_itself_by_log_out_and_with_its_token(tokens: Tokens) -> None:
    await tokens.create(token(1), digest("one"), AUTHOR)
    await tokens.create(token(2, hours=1), digest("two"), AUTHOR)
    until = START_MS + 2 * HOUR_MS
    for name, of in (("first", "tok_1"), ("second", "tok_1"), ("short", "tok_2")):
        await tokens.open_session(digest(name), of, START_MS, until)
    assert await tokens.in_session(digest("first"), START_MS) == token(1)
    assert await tokens.in_session(digest("first"), until) is None
    await tokens.close_session(digest("first"))
    await tokens.close_session(digest("never"))
    assert await tokens.in_session(digest("first"), START_MS) is None
    assert await tokens.in_session(digest("short"), START_MS) == token(2, hours=1)
    assert await tokens.in_session(digest("short"), START_MS + HOUR_MS) is None
    await tokens.revoke("tok_1", AUTHOR, START_MS)
    assert await tokens.in_session(digest("second"), START_MS) is None


@pytest.fixture
def memory_callers() -> CallerBoard:
    return MemoryCallers()


@pytest.fixture
async def redis_callers(redis_url: str) -> AsyncIterator[CallerBoard]:
    async with connect(redis_url) as redis:
        yield RedisCallers(redis)


@pytest.fixture
async def cluster_callers(cluster_url: str) -> AsyncIterator[CallerBoard]:
    async with reach(cluster_url) as client:
        yield RedisCallers(client)


@pytest.fixture(params=["memory", "redis", "cluster"])
def callers(request: pytest.FixtureRequest) -> CallerBoard:
    found: CallerBoard = request.getfixturevalue(f"{request.param}_callers")
    return found


async def test_callers_are_read_where_they_have_changed(callers: CallerBoard) -> None:
    assert await callers.read(b"") is None
    one, two = Caller(b"\x00\xff", "one", None, None), Caller(b"b", "two", (7, 9), START_MS)
    assert await callers.post([one, two])
    assert not await callers.post([one, two])
    posted = await callers.read(b"")
    assert posted is not None
    assert posted.callers == (one, two)
    assert await callers.read(posted.stamp) is None
    assert await callers.post([])
    emptied = await callers.read(posted.stamp)
    assert emptied is not None
    assert emptied.callers == ()
