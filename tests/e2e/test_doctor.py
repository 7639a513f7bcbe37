"""`pullarm doctor` on a running platform, and on what is none."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.platform import Platform
from pullarm.storage.redis import connect
from tests.e2e.commands import Ended, pullarm
from tests.e2e.upstream import PATIENCE_S, Fleet, answered, create, launch

pytestmark = pytest.mark.asyncio(loop_scope="session")


AMISS = {
    "PULLARM_REQUIRE_TOKENS": "1",
    "PULLARM_RETENTION_DAYS": "2",
    "QUEUE_REDIS_URL": "redis://127.0.0.1:1",
    "PULLARM_CONTROL_URL": "http://127.0.0.1:1",
    "PULLARM_HTTP_ADDRESS": "0.0.0.0:8000",
}
TO_MEND = {"settings", "redis", "cron", "control", "tokens", "experiments"}


async def examined(
    platform: Platform, given: dict[str, str] | None = None
) -> tuple[int | None, dict[str, Any]]:
    """The exit status, and what was found."""
    state = str(platform.settings.state)
    ended = await pullarm("doctor", "--json", "--state", state, given=given)
    assert ended.output, ended.errors
    found: dict[str, Any] = json.loads(ended.output)
    return ended.status, found


def of(found: dict[str, Any], standing: str) -> set[tuple[str, str]]:
    """(check, what was found) of one standing; what is amiss says what to mend."""
    some = [each for each in found["findings"] if each["standing"] == standing]
    assert all(bool(each["mend"]) == (standing != "ok") for each in some)
    return {(each["check"], each["found"]) for each in some}


def named(found: dict[str, Any]) -> set[str]:
    """The checks that found problems."""
    return {check for check, _ in of(found, "problem")}


async def healthy(platform: Platform) -> dict[str, Any]:
    """What is found once nothing has to be mended: processes are heard of seconds after they start."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            status, found = await examined(platform)
            assert (status == 0) is found["sound"] is (found["problems"] == 0)
            if found["sound"]:
                return found


def told(shown: Ended, found: dict[str, Any]) -> bool:
    """Whether both have as many warnings; some last for a moment."""
    return shown.output.rstrip().endswith(f"0 problems, {found['warnings']} warnings")


async def test_a_sound_platform(platform: Platform, api: httpx.AsyncClient, fleet: Fleet) -> None:
    running = await launch(api, fleet)
    lonely = await create(api, arms=["only"], policies="thompson")
    found = await healthy(platform)
    well = {check for check, _ in of(found, "ok")}
    parts = {"settings", "keys", "postgresql", "migrations", "disk", "redis", "workers", "stream"}
    assert parts | {"cron", "serving", "spool", "control", "tokens"} <= well
    assert f"experiment {running['key']}" in well
    warned = {
        told for check, told in of(found, "warning") if check == f"experiment {lonely['key']}"
    }
    assert "the closed catalogue has 1 active arm: there is nothing to choose" in warned
    shown = await pullarm("doctor", "--state", str(platform.settings.state))
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and not told(shown, await healthy(platform)):
        shown = await pullarm("doctor", "--state", str(platform.settings.state))
    assert shown.status == 0
    assert "warning" in shown.output
    assert told(shown, await healthy(platform)), shown.output
    await answered(api.post(f"/{lonely['id']}/archive"))


async def test_what_has_to_be_mended_is_named(platform: Platform) -> None:
    async with connect(platform.environment["REDIS_URL"]) as redis:
        await redis.config_set("maxmemory-policy", "allkeys-lru")
        try:
            status, found = await examined(platform, AMISS)
            until = time.monotonic() + PATIENCE_S
            while time.monotonic() < until and named(found) != TO_MEND:
                status, found = await examined(platform, AMISS)  # something else was slow
        finally:
            await redis.config_set("maxmemory-policy", "noeviction")
    assert status == 1
    assert named(found) == TO_MEND
    problems = of(found, "problem")
    assert any("maxmemory-policy is allkeys-lru" in told for _, told in problems)
    assert any("2 are too few" in told for _, told in problems)


async def test_without_a_platform_everything_that_cannot_be_asked_is_told(tmp_path: Path) -> None:
    ended = await pullarm("doctor", "--json", "--state", str(tmp_path / "nothing"))
    assert ended.status == 1, ended.errors
    problems = of(json.loads(ended.output), "problem")
    assert ("postgresql", "DATABASE_URL is not set; `pullarm up` sets it by itself") in problems
    assert {"settings", "keys", "redis", "cron", "serving", "control"} <= {
        check for check, _ in problems
    }
