"""Fixtures of all tiers; a server starts only when the first test asks for it, once for the whole run."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from cli.embedded import Wanted, embedded_services
from tests.movielens_data import describe, movielens_folders
from tests.services import empty_cluster, empty_redis, fresh_database, make_template
from tests.state_folders import temporary_state

# The same examples in every run, and no limit on the time that one takes, or its making: the machine may be busy.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", patient, derandomize=True)
settings.register_profile("many", patient, max_examples=20_000)  # others every time: `make fuzz`
settings.load_profile("repeatable")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def services() -> AsyncIterator[dict[str, str]]:
    """The addresses of the run's PostgreSQL and Valkey, by the names of environment variables."""
    with temporary_state() as folder:
        async with embedded_services(folder, Wanted(durable=False), print) as addresses:
            await make_template(addresses["DATABASE_URL"])
            yield addresses


@pytest.fixture
def state_folder() -> Iterator[Path]:
    """Where a platform of this test's own may live; its path has a space in it."""
    with temporary_state() as folder:
        yield folder


@pytest.fixture
async def database_url(services: dict[str, str]) -> AsyncIterator[str]:
    """A migrated, empty database of this test's own."""
    async with fresh_database(services["DATABASE_URL"]) as url:
        yield url


@pytest.fixture
async def empty_database_url(services: dict[str, str]) -> AsyncIterator[str]:
    """A database of this test's own that no migration has touched."""
    async with fresh_database(services["DATABASE_URL"], "template1") as url:
        yield url


@pytest.fixture
async def redis_url(services: dict[str, str]) -> str:
    """An emptied Redis database."""
    await empty_redis(services["REDIS_URL"])
    return services["REDIS_URL"]


@pytest.fixture
async def queue_redis_url(services: dict[str, str]) -> str:
    """An emptied Redis database for arq's queue, apart from `redis_url`."""
    await empty_redis(services["QUEUE_REDIS_URL"])
    return services["QUEUE_REDIS_URL"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cluster_service() -> AsyncIterator[str]:
    """The address of the run's cluster: three primaries, of which nothing is killed."""
    from cli.cluster import cluster  # unit tests load this file and need no storage

    with temporary_state() as folder:
        async with cluster(folder, replicas=False, durable=False) as nodes:
            yield nodes.url


@pytest.fixture
async def cluster_url(cluster_service: str) -> str:
    """An emptied cluster."""
    await empty_cluster(cluster_service)
    return cluster_service


@pytest.fixture(scope="session")
def movielens_dir() -> Path:
    """A folder with ml-1m's files, the user's own or a generated miniature."""
    return movielens_folders()["ml-1m"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(describe())
