"""`pullarm events`: the newest decisions, and with --follow those that are made from then on."""

import asyncio
import signal
from asyncio.subprocess import Process

import httpx
import pytest

from cli.platform import Platform
from pullarm.client import Client
from tests.e2e.commands import started
from tests.e2e.upstream import PATIENCE_S, Fleet, caught_up, launch

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_decisions_are_printed_as_they_come_until_it_is_interrupted(
    platform: Platform, api: httpx.AsyncClient, fleet: Fleet, client: Client
) -> None:
    experiment = (await launch(api, fleet))["id"]
    here = ("--control-url", platform.http_url, "--state", str(platform.settings.state))
    await client.select(experiment, "[early]", ["a", "b"])  # not markup
    await folded(api, experiment, "[early]")
    # A run in the background may have been started with interrupts ignored, and its commands would be too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    async with started("events", experiment, "--follow", "-n", "1000", *here) as following:
        async with asyncio.timeout(PATIENCE_S):
            await printed(following, " [early] ")
            late = await client.select(experiment, "late", ["a", "b"])
            await client.reward(late.decision_id, 1.0)
            await printed(following, f" late {late.policy}: {late.arm_id} (")
        following.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE_S):
            rest, errors = await following.communicate()
    assert (following.returncode, rest, errors) == (0, b"", b"")


async def printed(following: Process, text: str) -> None:
    """Wait until it has printed a line with this in it."""
    assert following.stdout is not None
    while text not in (line := (await following.stdout.readline()).decode()):
        assert line, await following.communicate()


async def folded(api: httpx.AsyncClient, experiment: str, user: str) -> None:
    """Wait until the ledger has a decision of a user."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await caught_up(api, experiment)
            events = (await api.get(f"/{experiment}/events", params={"limit": 1})).json()["events"]
            if events and events[0]["unit"] == user:
                return
            await asyncio.sleep(0.05)
