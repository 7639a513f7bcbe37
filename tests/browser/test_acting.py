"""What somebody does with experiments, and what guardrails do by themselves."""

import re

import asyncpg
import pytest
from playwright.async_api import expect

from pullarm.clock import system_clock
from pullarm.lifecycle import Lifecycle
from pullarm.storage.postgres import Database, PostgresExperiments, PostgresTrail
from pullarm.storage.postgres.guardrails import PostgresGuardrails
from pullarm.storage.redis import RedisBoard, connect
from tests.browser.browsing import Visitor, dialog, panel, state
from tests.browser.stage import Stage
from tests.e2e.upstream import answered
from workers.guard import Guard

pytestmark = pytest.mark.asyncio(loop_scope="session")

MINUTES = 20
_FAIL = """
INSERT INTO serving_minute (experiment_id, policy, minute, process, sequence, calls, errors, over_100ms, over_120ms,
                            sketch)
SELECT experiment_id, 1, minute, 'of the test', 1, 100, 60, 0, 0, '{}'
FROM experiment, unnest($2::integer[]) AS t (minute)
WHERE id = $1
"""


async def calls_fail(stage: Stage, experiment: str) -> None:
    """Make serving's counters say that most calls of a policy failed, and let the guardrails look."""
    now_ms, environment = system_clock(), stage.platform.environment

    def later() -> int:
        """In the next five minutes: the worker may have checked these."""
        return now_ms + 300_000

    connection = await asyncpg.connect(environment["DATABASE_URL"])
    try:
        await connection.execute(_FAIL, experiment, [now_ms // 60_000 - n for n in range(MINUTES)])
    finally:
        await connection.close()
    redis = connect(environment["REDIS_URL"])
    try:
        async with Database(environment["DATABASE_URL"], max_connections=2) as database:
            board, experiments = RedisBoard(redis), PostgresExperiments(database)
            lifecycle = Lifecycle(experiments, PostgresTrail(database), board, later)
            await Guard(PostgresGuardrails(database), lifecycle, board, later).check_due()
    finally:
        await redis.aclose()


async def test_a_failing_guardrail_rolls_back_before_ones_eyes(viewer: Visitor) -> None:
    page, stage = viewer.page, viewer.stage
    await viewer.go(f"/experiments/{stage.other}")
    await expect(state(page, "running")).to_be_visible()
    await calls_fail(stage, stage.other)
    await expect(
        page.get_by_text("It was rolled back: everybody gets control's choice.")
    ).to_be_visible()
    health = panel(page, "Health")
    tile = health.get_by_role("button", name=re.compile(r"Errors\s*: fail"))
    await expect(tile).to_contain_text("limit 1")
    await tile.click()
    explained = health.get_by_role("region", name="Errors")
    await expect(explained).to_contain_text("the experiment is rolled back at once")
    await expect(explained).to_contain_text("60.00")
    await expect(health.get_by_role("listitem").filter(has_text="Rolled back")).to_be_visible()
    await viewer.go("/")
    row = page.get_by_role("row").filter(has_text="Search page")
    await expect(row).to_contain_text("rolled back")


async def test_actions_say_what_comes_of_them_before_they_are_taken(admin: Visitor) -> None:
    page, stage = admin.page, admin.stage
    draft = await answered(stage.api.post("/api/experiments", json={"name": "Third page"}))
    await admin.go(f"/experiments/{draft['id']}")
    await page.get_by_role("button", name="Start", exact=True).click()
    asked = dialog(page, "Start Third page?")
    await expect(asked).to_contain_text("get their policy: thompson 25")
    await asked.get_by_role("button", name="Start", exact=True).click()
    await expect(state(page, "running")).to_be_visible()
    await page.get_by_role("button", name="More actions").click()
    await page.get_by_role("button", name="Roll back").click()
    asked = dialog(page, "Roll back Third page?")
    await expect(asked).to_contain_text("return to control within a second")
    await asked.get_by_role("button", name="Cancel").click()
    await expect(state(page, "running")).to_be_visible()
    await page.get_by_role("button", name="Stop", exact=True).click()
    asked = dialog(page, "Stop Third page?")
    await expect(asked).to_contain_text("A stop is for good")
    await asked.get_by_label("Why").fill("a test is over")
    await asked.get_by_role("button", name="Stop", exact=True).click()
    await expect(page.get_by_text("It has ended")).to_be_visible()
    await expect(panel(page, "Changes")).to_contain_text("a test is over")


async def test_what_somebody_else_changed_meanwhile_is_told(admin: Visitor) -> None:
    page, stage = admin.page, admin.stage
    admin.expect_trouble("412: POST .*/start$")
    draft = await answered(stage.api.post("/api/experiments", json={"name": "Fourth page"}))
    await admin.go(f"/experiments/{draft['id']}")
    await page.get_by_role("button", name="Start", exact=True).click()
    path = f"/api/experiments/{draft['id']}"
    await answered(stage.api.patch(path, json={"traffic_pct": 0.5}))
    asked = dialog(page, "Start Fourth page?")
    await asked.get_by_role("button", name="Start", exact=True).click()
    await expect(asked.get_by_role("alert")).to_contain_text("Look at it as it is now")
    assert (await answered(stage.api.get(path)))["state"] == "draft"


async def test_a_viewer_may_look_and_nothing_else(viewer: Visitor) -> None:
    page = viewer.page
    await viewer.go(f"/experiments/{viewer.stage.experiment}")
    await expect(page.get_by_role("heading", name="Front page", level=1)).to_be_visible()
    for name in ("Start", "Stop", "More actions", "Resume", "Ship"):
        await expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
