"""What somebody sees who watches experiments: figures that move, decisions explained, what is missing told."""

import asyncio
import csv
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from pullarm.domain.access import Role
from pullarm.free_port import free_port
from tests.browser import browsing
from tests.browser.browsing import Visitor, dialog, panel
from tests.browser.stage import Stage
from tests.e2e.upstream import answered
from tests.relay import Gate

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def serves(page: Page) -> int:
    """How many serves the page tells of."""
    text = await panel(page, "Totals").inner_text()
    found = re.search(r"\bServes\s+([\d,]+)", text)
    return int(found.group(1).replace(",", "")) if found else 0


async def more_than(page: Page, number: int) -> None:
    """Wait until the page tells of more serves, by itself."""
    async with asyncio.timeout(browsing.PATIENCE_MS / 1000):
        while await serves(page) <= number:
            await asyncio.sleep(0.1)


@pytest_asyncio.fixture(loop_scope="session")
async def gate(stage: Stage) -> AsyncIterator[tuple[Gate, str]]:
    """Between a browser and the dashboard, with the address it makes."""
    target = urlsplit(stage.url)
    with free_port("127.0.0.1") as port:
        gate = Gate(port, lambda: asyncio.open_connection(target.hostname, target.port))
        await gate.let_in()
        yield gate, f"http://127.0.0.1:{port}"
        await gate.close()


async def test_figures_of_a_running_demo_move_by_themselves(viewer: Visitor) -> None:
    page = viewer.page
    await viewer.go("/")
    await page.get_by_role("link", name="Front page").click()
    await expect(page.get_by_role("heading", name="Front page", level=1)).to_be_visible()
    await more_than(page, 0)
    before = await serves(page)
    async with viewer.stage.traffic():
        await more_than(page, before + 50)
    for policy in ("thompson", "egreedy", "ucb", "control"):
        row = panel(page, "Policies").get_by_role("rowheader", name=policy)
        await expect(row).to_be_visible()


async def test_arms_show_what_a_policy_believes_of_them(viewer: Visitor) -> None:
    page = viewer.page
    await viewer.go("/")
    await page.get_by_role("link", name="Front page").click()
    believed = panel(page, "Arms").get_by_role(
        "img", name=re.compile(r"^posterior [\d.]+\s%, 95\s%")
    )
    await expect(believed.first).to_be_visible()
    assert await believed.count() > 5


async def test_the_platforms_processes_are_listed(viewer: Visitor) -> None:
    await viewer.go("/system")
    processes = panel(viewer.page, "Processes")
    for name in ("serving-0", "control", "worker"):
        row = processes.get_by_role("row").filter(
            has=viewer.page.get_by_role("rowheader", name=name)
        )
        await expect(row.first).to_contain_text("pid ")


async def test_a_lost_connection_is_told_and_what_was_missed_is_read_when_it_is_back(
    chromium: Browser, stage: Stage, gate: tuple[Gate, str]
) -> None:
    door, url = gate
    async with browsing.visitor(chromium, stage, url=url) as visitor:
        visitor.expect_trouble("no answer: ", "console error: .*ERR_")
        await visitor.log_in(Role.VIEWER)
        await visitor.go(f"/experiments/{stage.experiment}")
        page = visitor.page
        await expect(
            page.get_by_role("status").filter(has_text=re.compile("^live"))
        ).to_be_visible()
        await more_than(page, 0)
        await door.close()
        lost = page.get_by_role("status").filter(has_text="connection lost")
        await expect(lost).to_be_visible()
        before, decided = await serves(page), stage.tally.decisions
        async with stage.traffic(200), asyncio.timeout(browsing.PATIENCE_MS / 1000):
            while stage.tally.decisions < decided + 50:
                await asyncio.sleep(0.1)
        assert await serves(page) == before
        await door.let_in()
        await expect(lost).to_be_hidden()
        await more_than(page, before)


async def test_a_decision_says_why_this_arm(viewer: Visitor) -> None:
    page = viewer.page
    await viewer.go(f"/experiments/{viewer.stage.experiment}")
    events = panel(page, "Events")
    await events.get_by_label("Policy").select_option("thompson")
    await expect(events.get_by_role("row").nth(1)).to_contain_text("synthetic-")
    await events.get_by_role("button", name="Why this arm?").first.click()
    told = dialog(page, "Why this arm?")
    await expect(told.get_by_text("Redone from the ledger, it comes out the same")).to_be_visible()
    await expect(told.get_by_role("heading", name="of the 10 candidates")).to_be_visible()
    await expect(told.get_by_role("heading", name="3. The draw")).to_be_visible()
    address = page.url
    await page.keyboard.press("Escape")
    await expect(told).to_have_count(0)
    await page.goto(address)  # a decision can be sent to somebody
    await expect(told.get_by_text("Redone from the ledger")).to_be_visible()


async def test_the_log_of_one_policy_comes_as_a_file(viewer: Visitor, tmp_path: Path) -> None:
    page = viewer.page
    await viewer.go(f"/experiments/{viewer.stage.experiment}")
    events = panel(page, "Events")
    await events.get_by_label("Policy").select_option("ucb")
    await expect(events.get_by_role("link", name="CSV")).to_have_attribute(
        "href", re.compile("policy=ucb")
    )
    newest = await answered(
        viewer.stage.api.get(
            f"/api/experiments/{viewer.stage.experiment}/events", params={"policy": "ucb"}
        )
    )
    async with page.expect_download() as started:
        await events.get_by_role("link", name="CSV").click()
    path = tmp_path / "log.csv"
    await (await started.value).save_as(path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["assigned"] for row in rows} == {"ucb"}
    uids = {row["decision_uid"] for row in rows}
    assert len(rows) > 100
    assert {event["uid"] for event in newest["events"]} <= uids


async def test_who_may_see_nothing_is_told_how_to_begin(chromium: Browser, stage: Stage) -> None:
    draft = await answered(stage.api.post("/api/experiments", json={"name": "Put away"}))
    await answered(stage.api.post(f"/api/experiments/{draft['id']}/archive"))
    body = {"name": "One only", "role": "viewer", "experiments": [draft["id"]]}
    token = (await answered(stage.api.post("/api/tokens", json=body)))["token"]
    async with browsing.visitor(chromium, stage) as visitor:
        await visitor.show(token)
        await visitor.go("/")
        await expect(visitor.page.get_by_text("There is no experiment yet")).to_be_visible()
        await expect(visitor.page.get_by_text("pullarm launch")).to_be_visible()


async def test_a_draft_says_what_is_to_come(viewer: Visitor) -> None:
    stage, page = viewer.stage, viewer.page
    draft = await answered(stage.api.post("/api/experiments", json={"name": "Not yet"}))
    await viewer.go(f"/experiments/{draft['id']}")
    await expect(page.get_by_text("It takes no traffic yet")).to_be_visible()
    await expect(panel(page, "Changes").get_by_role("listitem")).to_contain_text("create")
    await viewer.go("/?search=nothing-is-called-that")
    await expect(page.get_by_text("No experiment is like that")).to_be_visible()
    await page.get_by_role("button", name="Show all").click()
    await expect(page.get_by_role("link", name="Not yet").first).to_be_visible()
