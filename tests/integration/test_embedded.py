"""The embedded servers as the tests and `pullarm up` get them."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio
from redis.exceptions import RedisError

from cli.embedded import Wanted, embedded_services
from pullarm.domain.errors import ConfigurationError


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connected = await asyncpg.connect(database_url)
    yield connected
    await connected.close()


async def test_database_is_migrated_and_has_our_settings(connection: asyncpg.Connection) -> None:
    settings = {
        name: await connection.fetchval(f"SHOW {name}")
        for name in ("data_checksums", "jit", "timezone", "listen_addresses", "server_encoding")
    }
    assert settings == {
        "data_checksums": "on",
        "jit": "off",
        "timezone": "UTC",
        "listen_addresses": "",
        "server_encoding": "UTF8",
    }
    tables = await connection.fetchval(
        "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    assert tables > 0


async def test_databases_of_two_tests_share_nothing(
    database_url: str, empty_database_url: str, connection: asyncpg.Connection
) -> None:
    await connection.execute("CREATE TABLE mine (n integer)")
    other = await asyncpg.connect(empty_database_url)
    assert await other.fetchval("SELECT to_regclass('mine')") is None
    await other.close()


async def test_database_wants_its_password(services: dict[str, str]) -> None:
    head, at, tail = services["DATABASE_URL"].partition("@")
    wrong = head[:-1] + ("0" if head[-1] != "0" else "1") + at + tail
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(wrong)


async def test_redis_refuses_when_full_instead_of_forgetting(redis_url: str) -> None:
    client = redis.asyncio.Redis.from_url(redis_url, decode_responses=True)
    settings = await client.config_get("maxmemory*")
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["maxmemory"] == str(512 * 1024 * 1024)
    await client.aclose()


async def test_redis_wants_its_password(services: dict[str, str]) -> None:
    head, at, tail = services["REDIS_URL"].partition("@")
    client = redis.asyncio.Redis.from_url(head[:-1] + at + tail)
    with pytest.raises(RedisError, match="invalid username-password"):
        await client.ping()
    await client.aclose()


async def leave(addresses: dict[str, str], number: int) -> None:
    """Write a number into both servers."""
    database = await asyncpg.connect(addresses["DATABASE_URL"])
    await database.execute(f"CREATE TABLE kept AS SELECT {number} AS n")
    await database.close()
    client = redis.asyncio.Redis.from_url(addresses["REDIS_URL"])
    await client.set("kept", number)
    await client.aclose()


async def found(addresses: dict[str, str]) -> tuple[int, int]:
    """The numbers that are in the two servers."""
    database = await asyncpg.connect(addresses["DATABASE_URL"])
    in_database = await database.fetchval("SELECT n FROM kept")
    await database.close()
    client = redis.asyncio.Redis.from_url(addresses["REDIS_URL"])
    in_redis = await client.get("kept")
    await client.aclose()
    return in_database, int(in_redis)


async def test_servers_keep_their_data_and_passwords_over_a_restart(state_folder: Path) -> None:
    folder = state_folder / ("a name too long for the path of a socket " * 3)
    async with embedded_services(folder, Wanted(), print) as first:
        await leave(first, 7)
    async with embedded_services(folder, Wanted(), print) as second:
        assert second == first
        assert await found(second) == (7, 7)


async def test_servers_run_below_a_folder_that_only_its_owner_may_enter(state_folder: Path) -> None:
    state_folder.mkdir(mode=0o700)
    folder = state_folder / "inner"
    async with embedded_services(folder, Wanted(), print) as first:
        await leave(first, 7)
    async with embedded_services(folder, Wanted(), print) as second:
        assert await found(second) == (7, 7)
    moved = (folder / "relocated").exists()
    assert moved == (os.geteuid() == 0), "only root has to keep PostgreSQL elsewhere"


async def test_second_set_of_servers_on_one_folder_is_refused(state_folder: Path) -> None:
    wanted = Wanted(postgres=False, durable=False)
    async with embedded_services(state_folder, wanted, print):
        with pytest.raises(ConfigurationError, match=rf"already runs on .*process {os.getpid()}"):
            async with embedded_services(state_folder, wanted, print):
                pass
