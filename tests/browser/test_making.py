"""Experiments and tokens are made in forms that say at once what is wrong."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.browsing import Visitor, dialog, state
from tests.e2e.upstream import answered

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_experiment_is_made_checked_as_it_is_written_and_started(admin: Visitor) -> None:
    admin.expect_trouble("4..: POST .*/validate$")
    page = admin.page
    await admin.go("/")
    await page.get_by_role("link", name="New experiment").click()
    await page.get_by_label("Name", exact=True).fill("Checkout page")
    await page.get_by_label("Traffic").fill("180")
    await expect(page.get_by_role("status")).to_contain_text("not right yet")
    await expect(page.get_by_label("Traffic")).to_have_attribute("aria-invalid", "true")
    await page.get_by_label("Traffic").fill("50")
    await expect(page.get_by_label("Traffic")).to_have_attribute("aria-invalid", "false")
    await page.get_by_label("Arms, one a line").fill("red\ngreen")
    await page.get_by_label("Weight of control").fill("3")
    await expect(page.get_by_role("row").filter(has_text="control")).to_contain_text("50.0")
    await page.get_by_role("button", name="Make a draft").click()
    await expect(page.get_by_role("heading", name="Checkout page", level=1)).to_be_visible()
    await page.get_by_role("button", name="Start", exact=True).click()
    asked = dialog(page, "Start Checkout page?")
    await expect(asked.get_by_text(re.compile("50.% of the users"))).to_be_visible()
    await asked.get_by_role("button", name="Start", exact=True).click()
    await expect(state(page, "running")).to_be_visible()
    made = re.search("exp_[a-z0-9]+", page.url)
    assert made is not None
    stored = (await admin.stage.api.get(f"/api/experiments/{made.group()}")).json()
    assert (stored["state"], stored["traffic_pct"]) == ("running", 0.5)
    assert [arm["id"] for arm in stored["arms"]] == ["red", "green"]
    assert {each["name"]: each["share"] for each in stored["policies"]}["control"] == 0.5


async def test_rows_are_sent_as_they_are_shown(admin: Visitor) -> None:
    """Though another row was removed, a value has a comma, or a row says what another one says."""
    # What is half written is checked where a pause is long enough, and refused.
    admin.expect_trouble("4..: POST .*/validate$")
    page, api = admin.page, admin.stage.api
    body = {
        "name": "Sixth page",
        "arms": ["red", "green"],
        "targeting": {"age": {"above": 18}, "city": {"in": ["Washington, DC", "Rome"]}},
    }
    draft = await answered(api.post("/api/experiments", json=body))
    path = f"/api/experiments/{draft['id']}"
    await admin.go(f"/experiments/{draft['id']}/edit")
    await page.get_by_text("Whom it is for").click()
    conditions = page.get_by_role("group", name="Conditions")
    first, second = (conditions.get_by_role("group", name=f"Row {row}") for row in (1, 2))
    for told in (
        "is one of",
        "is at most",
        "is none of",
        "is at most",
    ):  # a browser keeps what was once chosen
        await first.get_by_label("Condition").select_option(told)
    await conditions.get_by_role("button", name="Remove row 1").click()
    await expect(first.get_by_label("Attribute")).to_have_value("city")
    await expect(first.get_by_label("Condition")).to_have_value("in")
    await expect(first.get_by_label("Value")).to_have_value('"Washington, DC", Rome')
    await conditions.get_by_role("button", name="Add a condition").click()
    await second.get_by_label("Attribute").fill("city")
    await second.get_by_label("Value").fill("Paris")
    repeats = "row 2 repeats the condition of row 1"
    await expect(conditions.get_by_role("alert")).to_contain_text(repeats)
    await page.get_by_role("button", name="Save").click()
    await expect(conditions.get_by_role("alert")).to_contain_text(repeats)
    await second.get_by_label("Condition").select_option("is none of")
    await expect(conditions.get_by_role("alert")).to_be_empty()
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", name="Sixth page", exact=True)).to_be_visible()
    stored = await answered(api.get(path))
    assert stored["targeting"] == {
        "city": {"in": ["Washington, DC", "Rome"], "not_in": ["Paris"]},
    }


async def test_whom_it_is_for_what_is_rewarded_and_who_is_given_something_are_written_in_rows(
    admin: Visitor,
) -> None:
    admin.expect_trouble("4..: POST .*/validate$")
    page, api = admin.page, admin.stage.api
    await answered(api.post("/api/groups", json={"name": "checkout"}))
    arms = ["red", "green"]
    draft = await answered(api.post("/api/experiments", json={"name": "Fifth page", "arms": arms}))
    path = f"/api/experiments/{draft['id']}"
    await admin.go(f"/experiments/{draft['id']}/edit")
    await page.get_by_text("Whom it is for").click()
    conditions = page.get_by_role("group", name="Conditions")
    await conditions.get_by_role("button", name="Add a condition").click()
    await conditions.get_by_role("button", name="Add a condition").click()
    first, second = (conditions.get_by_role("group", name=f"Row {row}") for row in (1, 2))
    await first.get_by_label("Attribute").fill("country")
    await first.get_by_label("Value").fill("DE, AT")
    await second.get_by_label("Attribute").fill("age")
    await second.get_by_label("Condition").select_option("is at least")
    await second.get_by_label("Value").fill("old")
    await expect(conditions.get_by_role("alert")).to_contain_text("age at_least must be a number")
    await second.get_by_label("Value").fill("18")
    await expect(conditions.get_by_role("alert")).to_be_empty()
    await page.get_by_label("Group", exact=True).select_option("checkout")
    await page.get_by_label("Share of the group's users").fill("30")
    kinds = page.get_by_role("group", name="Kinds of reward")
    await kinds.get_by_role("button", name="Add a kind").click()
    await kinds.get_by_label("Kind", exact=True).last.fill("purchase")
    await kinds.get_by_label("Counts 1 from").last.fill("10")
    await page.get_by_text("Users who are given something").click()
    users = page.get_by_role("group", name="Users", exact=True)
    await users.get_by_role("button", name="Add a user").click()
    await users.get_by_label("User", exact=True).fill("ann")
    await users.get_by_label("Or arm").fill("green")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", name="Fifth page", exact=True)).to_be_visible()
    stored = await answered(api.get(path))
    assert stored["targeting"] == {"country": {"in": ["DE", "AT"]}, "age": {"at_least": 18}}
    assert (stored["group"], stored["group_share"]) == ("checkout", 0.3)
    assert stored["reward"]["kinds"] == [
        {"name": "reward", "threshold": None},
        {"name": "purchase", "threshold": 10},
    ]
    forced = await answered(api.get(f"{path}/forced"))
    assert forced["forced"] == [{"user_id": "ann", "policy": None, "arm": "green"}]


async def test_a_token_is_made_shown_once_and_revoked(admin: Visitor) -> None:
    page = admin.page
    await admin.go("/access")
    await page.get_by_role("button", name="New token").click()
    await page.get_by_label("Name", exact=True).fill("Recommender")
    await page.get_by_role("button", name="Make it").click()
    secret = await page.get_by_label("Secret").input_value()
    headers = {"Authorization": f"Bearer {secret}"}
    url = f"{admin.stage.url}/api/session"
    assert (await admin.context.request.get(url, headers=headers)).ok
    await page.reload()
    await expect(page.get_by_text("Recommender")).to_be_visible()
    await expect(page.get_by_label("Secret")).to_have_count(0)
    await page.get_by_role("button", name="Revoke Recommender").click()
    await page.get_by_role("button", name="Revoke", exact=True).last.click()
    await expect(page.get_by_role("button", name="Revoke Recommender")).to_have_count(0)
    assert (await admin.context.request.get(url, headers=headers)).status == 401


async def test_only_admins_deal_with_tokens(viewer: Visitor) -> None:
    await viewer.go("/access")
    told = viewer.page.get_by_text("yours is of role viewer")
    await expect(told).to_be_visible()
