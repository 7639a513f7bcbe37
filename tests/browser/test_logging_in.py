"""Who may look, and who may do what."""

import pytest
from playwright.async_api import expect

from pullarm.domain.access import Role
from tests.browser.browsing import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_token_opens_the_dashboard_and_logging_out_closes_it(anybody: Visitor) -> None:
    anybody.expect_trouble("401: GET .*/api/session$", "401: POST .*/api/session$", "401: GET")
    page = anybody.page
    await anybody.go("/")
    await page.get_by_label("Token").fill("pullarm_" + "x" * 43)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("alert")).to_contain_text("unknown, revoked or expired")
    await page.get_by_label("Token").fill(await anybody.stage.secret(Role.VIEWER))
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("heading", name="Experiments")).to_be_visible()
    await expect(page.get_by_text("The viewer")).to_be_visible()
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
