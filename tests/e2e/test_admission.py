"""Targeting, groups, holdouts and forced users on a running platform: obeyed, explained and, once asked, erased."""

import asyncio
from typing import Any

import httpx
import pytest

from cli.platform import Platform
from pullarm.client import Client, Selection
from pullarm.domain.decision import Reason, RewardStatus
from pullarm.domain.decision_id import decode
from pullarm.domain.history import Logged
from pullarm.storage.postgres import Database, PostgresHistory
from replay.explain import Redone, Verdict, redo
from serving.settings import read_keys
from tests.e2e.commands import pullarm
from tests.e2e.upstream import CONNECTIONS, PATIENCE_S, Fleet, answered, http, launch

pytestmark = pytest.mark.asyncio(loop_scope="session")
ARMS, USER = ["a", "b", "c"], "user-1"


async def explained(platform: Platform, decision_id: str) -> tuple[Logged, Redone]:
    """A decision as the ledger has it, and redone."""
    uid = decode(decision_id, read_keys(platform.environment)).uid
    async with Database(platform.environment["DATABASE_URL"], max_connections=1) as database:
        history = PostgresHistory(database)
        logged = await history.logged(uid)
        assert logged.decision is not None
        published = await history.published(logged.token.experiment, logged.decision.pub_no)
    return logged, redo(logged.decision, published, erased=logged.erased)


async def selected(fleet: Fleet, client: Client, experiment: str, reason: str) -> Selection:
    """Once all servers have taken over what was changed."""
    await fleet.until(
        lambda answer: answer.reason == reason, experiment, user=USER, candidates=ARMS
    )
    return await client.select(experiment, USER, ARMS)


async def folded(api: httpx.AsyncClient, experiment: str, reason: str) -> dict[str, Any]:
    """The summary once it has decisions of this reason from every connection."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            summary = await answered(api.get(f"/{experiment}/summary"))
            if summary["decisions_by_reason"].get(reason, 0) > CONNECTIONS:
                return summary
            await asyncio.sleep(0.1)


async def test_who_takes_part(
    platform: Platform, api: httpx.AsyncClient, fleet: Fleet, client: Client
) -> None:
    async with http(platform) as control:
        made = await control.post("/api/groups", json={"name": "e2e"})
        assert made.is_success, made.text
        grouped = {"group": "e2e", "group_share": 0.5, "policies": "ucb", "arms": ARMS}
        one, other = await launch(api, fleet, **grouped), await launch(api, fleet, **grouped)
        reasons = {"ASSIGNED", "NOT_IN_GROUP_SHARE"}
        for number in range(10):
            user = f"user-{number}"
            found = [await client.select(each["id"], user, ARMS) for each in (one, other)]
            assert {selection.reason for selection in found} == reasons
        in_one = await client.select(one["id"], USER, ARMS)
        inside, outside = (one, other) if in_one.reason == "ASSIGNED" else (other, one)
        await answered(control.patch("/api/groups/e2e", json={"holdout_pct": 1}))
        held = await selected(fleet, client, inside["id"], "IN_HOLDOUT")
        await answered(control.patch("/api/groups/e2e", json={"holdout_pct": 0}))
        await selected(fleet, client, inside["id"], "ASSIGNED")
    await answered(api.patch(f"/{inside['id']}", json={"targeting": {"x": {"exists": True}}}))
    untargeted = await selected(fleet, client, inside["id"], "NOT_TARGETED")
    forced = [{"user_id": USER, "policy": "ucb"}]
    await answered(api.put(f"/{outside['id']}/forced", json=forced))
    shown = await selected(fleet, client, outside["id"], "FORCED")
    assert shown.policy == "ucb"
    status = await client.reward(shown.decision_id, 1.0)
    assert status == RewardStatus.NOT_IN_EXPERIMENT.name
    await folded(api, inside["id"], "NOT_TARGETED")
    summary = await folded(api, outside["id"], "FORCED")
    assert summary["not_analysed"]["FORCED"] > CONNECTIONS
    for selection in (held, untargeted, shown):
        logged, redone = await explained(platform, selection.decision_id)
        assert (redone.verdict, redone.differences) == (Verdict.REPRODUCED, ())
        assert Reason(logged.token.reason).name == selection.reason
    assert redone.policy == "ucb"
    ended = await pullarm(
        *("erase", outside["key"], USER, "--note", "request 17"),
        *("--control-url", platform.http_url, "--state", str(platform.settings.state)),
    )
    assert ended.status == 0, ended.errors
    assert "who is given nothing to look at any more" in ended.output
    logged, redone = await explained(platform, shown.decision_id)
    assert (redone.verdict, logged.erased) == (Verdict.REPRODUCED, True)
    assert logged.decision is not None
    assert logged.decision.unit.startswith("erased-")
    await selected(fleet, client, outside["id"], "NOT_IN_GROUP_SHARE")
