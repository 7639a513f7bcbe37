"""The platform on a cluster whose primaries are killed under load, their replicas promoted."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from cli.cluster import Nodes, cluster
from pullarm.storage.postgres import Database, PostgresLedger
from tests.e2e.damage import (
    ROUND,
    Watched,
    account,
    check_exactly_once,
    check_nobody_noticed,
    kill,
    steady_load,
    watching,
)
from tests.state_folders import temporary_state

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nodes() -> AsyncIterator[Nodes]:
    with temporary_state() as folder:
        async with cluster(folder) as nodes:
            yield nodes


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(nodes: Nodes) -> AsyncIterator[Watched]:
    async with watching(workers=2, redis_url=nodes.url) as watched:
        yield watched


async def test_callers_notice_nothing_of_primaries_and_a_worker_that_are_killed(
    watched: Watched, nodes: Nodes
) -> None:
    async with steady_load(watched.platform) as load, asyncio.TaskGroup() as group:
        group.create_task(kill(watched, "worker"))
        for slot in nodes.parts:
            await nodes.replace(slot)
            await load.acknowledged(ROUND)
    found = await account(watched.platform, load)
    check_exactly_once(found, load.tally)
    check_nobody_noticed(found, load.tally)
    async with Database(watched.platform.environment["DATABASE_URL"]) as database:
        lives = await PostgresLedger(database).intake()
    assert lives
    assert [each.missing for each in lives] == [0] * len(lives)
