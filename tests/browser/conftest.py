"""One platform and one browser for all tests of the dashboard; they run on the session's event loop, as both do."""

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser

from pullarm.domain.access import Role
from tests.browser import browsing
from tests.browser.browsing import Visitor
from tests.browser.stage import Stage, staged
from tests.state_folders import temporary_state
from tools.chromium import launched

DAYS = 3.0
DECISIONS = 1500


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stage() -> AsyncIterator[Stage]:
    """A platform with a small demo's past."""
    with temporary_state() as folder:
        async with staged(folder, days=DAYS, decisions=DECISIONS) as stage:
            yield stage


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """One browser process; every visitor has a window and cookies of their own."""
    async with launched() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def anybody(chromium: Browser, stage: Stage) -> AsyncIterator[Visitor]:
    """Who is not logged in."""
    async with browsing.visitor(chromium, stage) as visitor:
        yield visitor


@pytest_asyncio.fixture(loop_scope="session")
async def admin(chromium: Browser, stage: Stage) -> AsyncIterator[Visitor]:
    """An admin, logged in."""
    async with browsing.visitor(chromium, stage) as visitor:
        await visitor.log_in(Role.ADMIN)
        yield visitor


@pytest_asyncio.fixture(loop_scope="session")
async def viewer(chromium: Browser, stage: Stage) -> AsyncIterator[Visitor]:
    """A viewer, logged in."""
    async with browsing.visitor(chromium, stage) as visitor:
        await visitor.log_in(Role.VIEWER)
        yield visitor
