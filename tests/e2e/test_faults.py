"""What becomes of acknowledged events when a process of the platform is killed under load."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio
import redis.asyncio

from cli.platform import Platform
from pullarm.domain.intake import SETTLE_MS
from pullarm.storage.redis import keys
from tests.e2e import upstream
from tests.e2e.damage import (
    PER_SECOND,
    ROUND,
    Watched,
    account,
    busier,
    check_exactly_once,
    check_nobody_noticed,
    gone,
    kill,
    spooled,
    steady_load,
    watching,
)
from tests.e2e.upstream import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="module")

OUTAGE_S = 20.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched() -> AsyncIterator[Watched]:
    async with watching() as watched:
        yield watched


async def test_nothing_acknowledged_is_lost_with_a_serving_process(watched: Watched) -> None:
    platform = watched.platform
    async with steady_load(platform) as load:
        name = busier(platform)
        said = len(watched.said.lines)
        os.kill(platform.pids["valkey"], signal.SIGSTOP)
        try:
            await asyncio.sleep(0.2)  # what arrives now is not stored, and may not be acknowledged
            os.kill(platform.pids[name], signal.SIGKILL)
        finally:
            os.kill(platform.pids["valkey"], signal.SIGCONT)
        await watched.back(name, said)
    check_exactly_once(await account(platform, load), load.tally)
    await complete_again(platform)


async def complete_again(platform: Platform) -> None:
    """The ledger is complete up to a few moments ago: nobody waits for the process that was killed."""
    began = datetime.now(UTC)
    async with upstream.http(platform) as api, asyncio.timeout(PATIENCE_S + SETTLE_MS / 1_000):
        while True:
            mark = (await api.get("/api/system")).json()["watermark"]
            if mark["at"] and datetime.fromisoformat(mark["at"]) >= began:
                return
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("name", ["control", "postgres"])
async def test_callers_notice_nothing_of_the_parts_behind(watched: Watched, name: str) -> None:
    async with steady_load(watched.platform) as load:
        await kill(watched, name)
    found = await account(watched.platform, load)
    check_exactly_once(found, load.tally)
    check_nobody_noticed(found, load.tally)
    async with upstream.rest(watched.platform) as api:
        summary = await upstream.caught_up(api, load.experiment)
    assert sum(policy["serves"] for policy in summary["policies"].values()) == found.decisions
    logs = (watched.platform.settings.state / "logs").glob("*.log")
    assert [log.name for log in logs if "Traceback" in log.read_text()] == []


async def test_entries_in_the_hands_of_a_killed_worker_are_folded_once(watched: Watched) -> None:
    platform = watched.platform
    async with steady_load(platform) as load:
        await freeze_with_entries(platform.pids["worker"], platform.environment["REDIS_URL"])
        await kill(watched, "worker")
        said = len(watched.said.lines)
        os.kill(platform.pids["postgres"], signal.SIGKILL)
        await load.acknowledged(ROUND // 2)  # which the worker has claimed and cannot fold
        await kill(watched, "worker")
        await watched.back("postgres", said)
    found = await account(platform, load)
    check_exactly_once(found, load.tally)
    check_nobody_noticed(found, load.tally)


async def freeze_with_entries(worker: int, redis_url: str) -> None:
    """Halt a worker at a moment at which it has claimed entries and not acknowledged them."""
    client = redis.asyncio.Redis.from_url(redis_url)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                os.kill(worker, signal.SIGSTOP)
                pending = await client.xpending(keys.events(0), keys.GROUP)
                if pending["pending"]:
                    return
                os.kill(worker, signal.SIGCONT)
                await asyncio.sleep(0.01)
    finally:
        await client.aclose()


async def test_callers_notice_nothing_of_an_event_stream_that_is_gone_for_long(
    watched: Watched,
) -> None:
    async with steady_load(watched.platform) as load, gone(watched, "valkey"):
        async with asyncio.TaskGroup() as group:
            group.create_task(load.acknowledged(round(OUTAGE_S * PER_SECOND / 4)))
            await asyncio.sleep(OUTAGE_S)
        assert spooled(watched.platform)
    found = await account(watched.platform, load)
    check_exactly_once(found, load.tally)
    check_nobody_noticed(found, load.tally)


async def test_callers_notice_nothing_of_an_event_stream_that_is_full(watched: Watched) -> None:
    platform = watched.platform
    client = redis.asyncio.Redis.from_url(platform.environment["REDIS_URL"])
    limit = (await client.config_get("maxmemory"))["maxmemory"]
    try:
        async with steady_load(platform) as load:
            await client.config_set("maxmemory", "1mb")
            await load.acknowledged(2 * ROUND)
            assert spooled(platform)
            await client.config_set("maxmemory", limit)
    finally:
        await client.config_set("maxmemory", limit)
        await client.aclose()
    found = await account(platform, load)
    check_exactly_once(found, load.tally)
    check_nobody_noticed(found, load.tally)


async def test_nothing_in_the_spool_is_lost_with_its_process(watched: Watched) -> None:
    platform = watched.platform
    async with steady_load(platform) as load:
        async with gone(watched, "valkey"):
            await load.acknowledged(ROUND)
            said, name = len(watched.said.lines), busier(platform)
            os.kill(platform.pids[name], signal.SIGKILL)
            await load.acknowledged(ROUND)
        await watched.back(name, said)
    check_exactly_once(await account(platform, load), load.tally)
