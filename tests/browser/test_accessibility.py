"""Every page as axe-core sees it, light and dark, wide and on a phone: no serious fault, nothing beside the screen."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from pullarm.domain.access import Role
from tests.browser import browsing
from tests.browser.browsing import PATIENCE_MS, PHONE
from tests.browser.routes import ROUTES, Route
from tests.browser.stage import Stage
from tools.vendor import libraries

pytestmark = pytest.mark.asyncio(loop_scope="session")

GRAVE = ("serious", "critical")
_BESIDE = "() => document.documentElement.scrollWidth - innerWidth"
"""Pixels that one would have to scroll sideways."""
_RUN = "() => axe.run(document, { resultTypes: ['violations'] })"


async def faults(page: Page) -> list[str]:
    """What axe-core, which is there already, calls serious or critical, a line for each place."""
    result: dict[str, Any] = await page.evaluate(_RUN)
    return [
        f"{each['impact']} {each['id']}: {node['target']} {node['failureSummary']}"
        for each in result["violations"]
        if each["impact"] in GRAVE
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
async def test_no_page_has_a_serious_fault(chromium: Browser, stage: Stage, route: Route) -> None:
    async with browsing.visitor(chromium, stage, color_scheme="light") as visitor:
        if route.logged_in:
            await visitor.log_in(Role.ADMIN)
        await route.open(visitor)
        page = visitor.page
        # Not as a script of the page: that its policy would refuse, as it should.
        await page.evaluate((libraries() / "axe-core" / "axe.min.js").read_text(encoding="utf-8"))
        light = await faults(page)
        await page.emulate_media(color_scheme="dark")
        await page.set_viewport_size(PHONE)
        assert (light, await faults(page)) == ([], [])
        async with asyncio.timeout(PATIENCE_MS / 1000):  # charts take a moment to follow the window
            while await page.evaluate(_BESIDE) > 0:
                await asyncio.sleep(0.1)
