"""What an experiment makes of its rewards, over a running platform: kinds, sums, retraction, exposure, refusals."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from cli.platform import Platform
from pullarm.client import Client
from pullarm.domain.decision import RewardStatus
from pullarm.domain.errors import InvalidInput
from tests.e2e.commands import pullarm
from tests.e2e.upstream import PATIENCE_S, Fleet, answered, launch

pytestmark = pytest.mark.asyncio(loop_scope="session")

APART_S = 0.005
"""Rewards received in one millisecond have no order."""


async def settled(
    api: httpx.AsyncClient, experiment: str, done: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """The summary once it is done."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            summary = await answered(api.get(f"/{experiment}/summary"))
            if done(summary):
                return summary
            await asyncio.sleep(0.1)


async def assert_proved(platform: Platform, experiment: str) -> None:
    verified = await pullarm("verify", experiment, "--state", str(platform.settings.state))
    assert verified.status == 0, verified.output


@pytest.mark.parametrize(
    ("aggregation", "credits"),
    [("first", (0.25, 0.5, 0.25)), ("sum", (0.75, 0.5, 0.25)), ("max", (0.5, 0.5, 0.25))],
)
async def test_rewards_are_aggregated_and_retracted_ones_never_were(
    platform: Platform,
    api: httpx.AsyncClient,
    fleet: Fleet,
    client: Client,
    aggregation: str,
    credits: tuple[float, ...],
) -> None:
    launched = await launch(api, fleet, policies="egreedy", reward={"aggregation": aggregation})
    taken_back = (None, "quarter", "half")
    for retracted in taken_back:
        decision = (await client.select(launched["id"], "user")).decision_id
        assert await client.retract(decision, "one") == "ACCEPTED", "before its reward"
        for value, name in ((0.25, "quarter"), (0.5, "half"), (0.5, "half"), (1.0, "one")):
            await asyncio.sleep(APART_S)
            assert await client.reward(decision, value, reward_id=name) == "ACCEPTED"
        if retracted is not None:
            assert await client.retract(decision, retracted) == "ACCEPTED"
    received = 5 * len(taken_back) + 2
    summary = await settled(
        api, launched["id"], lambda told: bool(told["rewards_received"] == received)
    )
    assert summary["policies"]["egreedy"]["rate"] == pytest.approx(sum(credits) / 3)
    assert summary["duplicate_rewards"] == len(taken_back)
    assert summary["rewards_by_status"] == {"ACCEPTED": received}
    await assert_proved(platform, launched["key"])


async def test_of_several_kinds_one_is_learnt_from(
    platform: Platform, api: httpx.AsyncClient, fleet: Fleet, client: Client
) -> None:
    kinds = [{"name": "click"}, {"name": "purchase", "threshold": 10}]
    reward = {"kinds": kinds, "learns": "purchase", "aggregation": "max"}
    launched = await launch(api, fleet, policies="egreedy", reward=reward)
    for spent in (5.0, 25.0):
        decision = (await client.select(launched["id"], "user")).decision_id
        assert await client.reward(decision, 1.0, kind="click") == "ACCEPTED"
        assert await client.reward(decision, spent) == "ACCEPTED", "the kind that is learnt from"
        with pytest.raises(InvalidInput, match="declared: click, purchase") as refused:
            await client.reward(decision, 1.0, kind="like")
        assert refused.value.reward_status is RewardStatus.UNKNOWN_KIND
    summary = await settled(
        api,
        launched["id"],
        lambda told: bool(told["rewards_received"] == 4 and told["refused_rewards"]),
    )
    egreedy = summary["policies"]["egreedy"]
    assert (egreedy["serves"], egreedy["rewards"], egreedy["rate"]) == (2, 1, 0.5)
    await assert_proved(platform, launched["key"])


async def test_where_exposure_is_confirmed_what_was_only_fetched_is_no_serve(
    platform: Platform, api: httpx.AsyncClient, fleet: Fleet, client: Client
) -> None:
    kinds = [{"name": "shown"}, {"name": "click"}]
    reward = {"kinds": kinds, "learns": "click", "exposure": "confirmed"}
    launched = await launch(api, fleet, policies="egreedy", reward=reward)
    fetched = [(await client.select(launched["id"], "user")).decision_id for _ in range(5)]
    _, seen, clicked, only_clicked, shown_by_mistake = fetched
    for decision in (seen, clicked, shown_by_mistake):
        assert await client.reward(decision, 1.0, kind="shown", reward_id="view") == "ACCEPTED"
    for decision in (clicked, only_clicked):
        assert await client.reward(decision, 1.0) == "ACCEPTED"
    assert await client.retract(shown_by_mistake, "view", kind="shown") == "ACCEPTED"
    summary = await settled(
        api,
        launched["id"],
        lambda told: bool(told["rewards_received"] == 6 and told["decisions"] >= len(fetched)),
    )
    egreedy = summary["policies"]["egreedy"]
    assert (egreedy["serves"], egreedy["rewards"]) == (3, 2)
    await assert_proved(platform, launched["key"])


async def test_refused_rewards_are_told_in_the_summary(
    api: httpx.AsyncClient, fleet: Fleet, client: Client
) -> None:
    launched = await launch(api, fleet)
    other = await launch(api, fleet)
    decision = (await client.select(launched["id"], "user")).decision_id
    for _ in range(3):
        with pytest.raises(InvalidInput):
            await client.reward(decision, 2.0)
    with pytest.raises(InvalidInput):
        await client.reward(decision, 1.0, arm="no arm")
    with pytest.raises(InvalidInput):
        await client.reward(decision[:-4] + "AAAA", 1.0)
    refused = {"INVALID_VALUE": 3, "UNKNOWN_ARM": 1}
    summary = await settled(
        api, launched["id"], lambda told: bool(told["refused_rewards"] == refused)
    )
    assert summary["unattributed_rewards"]["FORGED_ID"] >= 1, "of all tests that forge"
    assert (await answered(api.get(f"/{other['id']}/summary")))["refused_rewards"] == {}
