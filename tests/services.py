"""Real servers for the tests: databases cloned from a migrated template, and emptied Redis databases."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from urllib.parse import urlsplit

import asyncpg
import redis.asyncio

TEMPLATE = "template_migrated"
_numbers = count(1)


def with_database(url: str, name: str) -> str:
    """The same server's address with another database."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


async def execute(url: str, *statements: str) -> None:
    """Run statements one by one, outside any transaction."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def make_template(url: str) -> None:
    """Create the database that every test's own is cloned from."""
    from pullarm.storage.postgres import migrate  # unit tests load this file and need no storage

    await execute(url, f"CREATE DATABASE {TEMPLATE}")
    await migrate(with_database(url, TEMPLATE))


@asynccontextmanager
async def fresh_database(url: str, template: str = TEMPLATE) -> AsyncIterator[str]:
    """A database of one's own, dropped afterwards with whoever is still connected."""
    name = f"test_{next(_numbers)}"
    # As the system copies files: a third of the time that writing all of it to the log takes.
    copy = f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"
    await execute(url, "SET file_copy_method = clone", copy)
    try:
        yield with_database(url, name)
    finally:
        await execute(url, f"DROP DATABASE {name} WITH (FORCE)")


async def reachable(database_url: str, *, so: bool) -> None:
    """Let a database take connections, or let it take none and cut those it has: they are gone when this returns."""
    name = urlsplit(database_url).path[1:]
    cut = f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'"
    allow = f"ALTER DATABASE {name} ALLOW_CONNECTIONS {so}"
    await execute(with_database(database_url, "postgres"), allow, *([] if so else [cut]))


async def empty_cluster(url: str) -> None:
    """Remove everything from every primary."""
    from pullarm.storage.redis.cluster import primaries, reach

    async with reach(url) as client:
        for primary in (await primaries(client)).values():
            await primary.flushdb()


async def empty_redis(url: str) -> None:
    """Remove everything from one numbered database."""
    client = redis.asyncio.Redis.from_url(url)
    try:
        await client.flushdb()
    finally:
        await client.aclose()
