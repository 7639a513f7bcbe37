"""`pullarm explain` against a running platform: decisions as they were made, and rows changed behind its back."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from cli.platform import Platform
from pullarm.client import Client, Selection
from pullarm.domain.decision_id import decode
from serving.settings import read_keys
from tests.e2e.commands import Ended, pullarm
from tests.e2e.upstream import PATIENCE_S, Fleet, answered, launch
from tests.services import execute

pytestmark = pytest.mark.asyncio(loop_scope="session")
ARMS = ["a", "b", "c", "d"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def selections(api: httpx.AsyncClient, fleet: Fleet, client: Client) -> dict[str, Selection]:
    """By policy: the last of many decisions, rewarded in its turn; `none` is one without known candidates."""
    launched = await launch(api, fleet, policies="thompson,egreedy,ucb,control", arms=ARMS)
    outside = await client.select(launched["id"], "user-1", ["none", "nobody"])
    found = {outside.policy: outside}
    for number in range(60):
        selection = await client.select(launched["id"], f"user-{number}", ARMS[::-1], slots=2)
        await client.reward(selection.decision_id, 1.0, arm=selection.arm_id)
        found[selection.policy] = selection
    async with asyncio.timeout(PATIENCE_S):
        while (await answered(api.get(f"/{launched['id']}/summary")))["rewards_received"] < 60:
            await asyncio.sleep(0.05)
    assert found.keys() == {"thompson", "egreedy", "ucb", "control", "none"}
    return found


@pytest.fixture
def uids(platform: Platform, selections: dict[str, Selection]) -> dict[str, str]:
    """By policy, in hex."""
    keys = read_keys(platform.environment)
    return {
        policy: decode(selection.decision_id, keys).uid.hex()
        for policy, selection in selections.items()
    }


async def explain(platform: Platform, *arguments: str) -> Ended:
    return await pullarm("explain", *arguments, "--state", str(platform.settings.state))


async def explained(platform: Platform, decision: str, status: int) -> dict[str, Any]:
    ended = await explain(platform, decision, "--json")
    assert ended.status == status, ended.output + ended.errors
    document: dict[str, Any] = json.loads(ended.output)
    return document


@asynccontextmanager
async def changed(platform: Platform, uid: str, change: str) -> AsyncIterator[None]:
    """The decision's row with something changed, for as long as the block lasts."""
    url, where = platform.environment["DATABASE_URL"], f"uid = '{uid}'"
    await execute(url, f"CREATE TABLE kept AS SELECT * FROM decision WHERE {where}")
    try:
        await execute(url, f"UPDATE decision SET {change} WHERE {where}")
        yield
    finally:
        await execute(url, f"DELETE FROM decision WHERE {where}")
        await execute(url, "INSERT INTO decision SELECT * FROM kept")
        await execute(url, "DROP TABLE kept")


@pytest.mark.parametrize("policy", ["thompson", "egreedy", "ucb", "control"])
async def test_decision_is_reproduced(
    platform: Platform, selections: dict[str, Selection], policy: str
) -> None:
    selection = selections[policy]
    document = await explained(platform, selection.decision_id, 0)
    assert (document["verdict"], document["differences"]) == ("reproduced", [])
    assert document["decision"]["acting"] == document["policy"]["name"] == policy
    assert document["assignment"]["policy_of_bucket"] == policy
    assert [candidate["arm_id"] for candidate in document["candidates"]] == ARMS[::-1]
    assert sum(c["integer"] for c in document["candidates"]) == document["slots"][0]["total"]
    assert [(slot["arm_id"], slot["propensity"]) for slot in document["slots"]] == [
        (choice.arm_id, choice.propensity) for choice in selection.choices
    ]
    assert document["publication"]["number"] == selection.posterior_version
    assert [reward["status"] for reward in document["rewards"]] == ["ACCEPTED"]


async def test_weights_of_a_decision_are_told(
    platform: Platform, api: httpx.AsyncClient, fleet: Fleet, client: Client
) -> None:
    learning = {"delay": "weighted", "half_life_hours": 72}
    launched = await launch(api, fleet, policies="thompson", arms=ARMS, learning=learning)
    assert launched["learning"] == learning
    selection = await client.select(launched["id"], "user-1", ARMS)
    async with asyncio.timeout(PATIENCE_S):
        while True:  # those that it was launched with are decisions too
            summary = await answered(api.get(f"/{launched['id']}/summary"))
            if summary["decisions_by_reason"].get("ASSIGNED"):
                break
            await asyncio.sleep(0.05)
    document = await explained(platform, selection.decision_id, 0)
    assert document["verdict"] == "reproduced"
    assert document["weighting"]["number"] >= 1
    assert document["weighting"].items() >= learning.items()
    newest = document["weights"][-1]
    assert (newest["kept"], newest["settled"], newest["pending"]) == (1.0, 1.0, 1.0)
    assert "delay weighted, half_life_hours 72" in (
        await explain(platform, selection.decision_id)
    ).output.replace("\n", " ")


async def test_decision_is_shown_as_tables(
    platform: Platform, selections: dict[str, Selection], uids: dict[str, str]
) -> None:
    by_id = await explain(platform, selections["thompson"].decision_id)
    by_uid = await explain(platform, uids["thompson"].upper())
    assert (by_id.status, by_uid.status) == (0, 0), by_id.errors + by_uid.errors
    assert by_id.output == by_uid.output
    assert by_id.output.splitlines()[-1] == "reproduced bit for bit"
    for shown in ("alpha", "floored", "propensity", "prior_alpha=1", "ACCEPTED", uids["thompson"]):
        assert shown in by_id.output


async def test_fallback_is_reproduced(platform: Platform, selections: dict[str, Selection]) -> None:
    document = await explained(platform, selections["none"].decision_id, 0)
    assert document["decision"]["reason"] == "NO_KNOWN_CANDIDATE"
    assert document["policy"]["name"] == "control"
    assert [candidate["arm_no"] for candidate in document["candidates"]] == [0, 0]


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ("arms[1] = arms[2]", 1, "slot 1: logged arm "),
        ("weights[1] = weights[1] + 1", 1, "slot 1: logged arm "),
        ("unit = 'somebody else'", 1, "unit hash: logged "),
        ("cohort = 3", 1, "decision id: logged "),
        ("voided = true, voided_batch = batch_no", 0, "voided yes"),
        ("kernel = 0", 3, "made by kernel 0, and this is kernel "),
        ("candidates = '', candidates_hash = 5", 4, "only a hash of its candidates is logged"),
        ("stub = true", 4, "try again once the decision is folded"),
    ],
)
async def test_row_that_was_changed(
    platform: Platform,
    selections: dict[str, Selection],
    uids: dict[str, str],
    change: str,
    status: int,
    said: str,
) -> None:
    async with changed(platform, uids["egreedy"], change):
        ended = await explain(platform, selections["egreedy"].decision_id)
    assert (ended.status, said in ended.output) == (status, True), ended.output + ended.errors


async def test_what_cannot_be_explained_is_told(
    platform: Platform, selections: dict[str, Selection], tmp_path: Path
) -> None:
    good = selections["thompson"].decision_id
    for decision, state, said in (
        ("0" * 32, platform.settings.state, "the ledger has no decision 00000000"),
        (good[:-6] + "A" * 6, platform.settings.state, "is not a decision id of this deployment"),
        ("what", platform.settings.state, "is not a decision id of this deployment"),
        (good, tmp_path, "or give the decision's uid in hex"),
        ("0" * 32, tmp_path, "DATABASE_URL is not set"),
    ):
        ended = await pullarm("explain", decision, "--state", str(state))
        assert (ended.status, ended.output) == (1, "")
        assert said in ended.errors
        assert "Traceback" not in ended.errors
