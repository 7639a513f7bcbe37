"""Every component alone, with data made up for it."""

import pytest
from playwright.async_api import Browser, expect

from tests.browser import browsing
from tests.browser.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_each_component_opens_alone_without_a_complaint(
    chromium: Browser, stage: Stage
) -> None:
    async with browsing.visitor(chromium, stage) as visitor:
        page = visitor.page
        await visitor.go("/preview.html")
        links = page.get_by_role("listitem").get_by_role("link")
        await expect(links.first).to_be_visible()
        names = await links.all_inner_texts()
        for name in names:
            await visitor.go(f"/preview.html?component={name}")
            await expect(page).to_have_title(f"{name} · Preview · Pullarm")
            await expect(page.locator("[aria-busy=true]")).to_have_count(0)
            assert len(await page.get_by_role("main").aria_snapshot()) > len("- main"), name
            assert visitor.complaints.heard == [], name
    assert len(names) > 10
