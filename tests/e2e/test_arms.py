"""Arms that are paused, resumed, retired and replaced while a platform runs.

What has to happen within a second is measured up to ten times and the quickest counts, as in test_experiment_life.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from cli.platform import Platform
from pullarm.client import Client, Selection
from pullarm.domain.decision_id import decode
from pullarm.storage.postgres import Database, PostgresHistory
from replay.explain import Redone, Verdict, redo
from serving.settings import read_keys
from tests.e2e.commands import pullarm
from tests.e2e.test_experiment_life import GREEDY, WITHIN_S, quickest
from tests.e2e.upstream import PATIENCE_S, Fleet, answered, launch

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def explained(platform: Platform, selections: Sequence[Selection]) -> list[Redone]:
    """Each decision redone from the platform's ledger, as `pullarm explain` does it."""
    keys, found = read_keys(platform.environment), list[Redone]()
    async with Database(platform.environment["DATABASE_URL"], max_connections=1) as database:
        history = PostgresHistory(database)
        for selection in selections:
            token = decode(selection.decision_id, keys)
            decision = (await history.logged(token.uid)).decision
            assert decision is not None
            published = await history.published(token.experiment, decision.pub_no)
            found.append(redo(decision, published))
    return found


async def until_folded(api: httpx.AsyncClient, experiment: str, rewards: int) -> None:
    """Return once the ledger has so many rewards, and with the last of them all that came before."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            summary = await answered(api.get(f"/{experiment}/summary"))
            if summary["rewards_received"] == rewards:
                return
            await asyncio.sleep(0.05)


async def test_arm_is_paused_resumed_and_retired_within_a_second(
    api: httpx.AsyncClient, fleet: Fleet
) -> None:
    async def life() -> dict[str, float]:
        favourite = {"id": "a", "prior_serves": 1000, "prior_rewards": 900}
        started = await launch(api, fleet, arms=[favourite, "b"], policies=GREEDY)
        path = f"/{started['id']}/arms"

        async def until_shown(*arms: str, of: tuple[str, ...] = ()) -> float:
            def shown(answer: Selection) -> bool:
                return tuple(choice.arm_id for choice in answer.choices) == arms

            return await fleet.until(shown, started["id"], candidates=of)

        await until_shown("a")
        await answered(api.post(f"{path}/a/pause"))
        took_s = {"pause": await until_shown("b")}
        assert await until_shown("b", of=("a", "b")) < PATIENCE_S
        assert await until_shown(of=("a",)) < PATIENCE_S
        await answered(api.post(f"{path}/a/resume"))
        took_s["resume"] = await until_shown("a", of=("b", "a"))
        await answered(api.post(f"{path}/a/retire"))
        took_s["retire"] = await until_shown("b")
        await answered(api.post(path, json={**favourite, "id": "c"}))
        took_s["add"] = await until_shown("c")
        return took_s

    best = await quickest(life)
    assert {change: took_s for change, took_s in best.items() if took_s >= WITHIN_S} == {}


async def test_reward_of_what_was_paused_is_learned_and_a_new_version_starts_from_its_counts(
    platform: Platform, api: httpx.AsyncClient, fleet: Fleet, client: Client
) -> None:
    arms = [{"id": name, "payload_hash": "1"} for name in "ab"]
    policies = [{"name": "thompson", "params": {"floor": 0.1}}]
    experiment = (await launch(api, fleet, arms=arms, policies=policies))["id"]
    made = [await client.select(experiment, f"user-{n}", ["a", "b"]) for n in range(20)]
    await answered(api.post(f"/{experiment}/arms/a/pause"))
    await fleet.until(lambda answer: answer.arm_id == "b", experiment)
    made += [await client.select(experiment, f"user-{n}", slots=2) for n in range(20)]
    assert all([choice.arm_id for choice in each.choices] == ["b"] for each in made[20:])
    early = [each for each in made[:20] if each.arm_id == "a"]
    for each in early:
        assert await client.reward(each.decision_id, 1.0, arm="a") == "ACCEPTED"

    changed = {"id": "a", "payload_hash": "2", "prior_serves": 30, "prior_rewards": 29}
    body = {**changed, "status": "active"}
    (new,) = (await answered(api.post(f"/{experiment}/arms", json=body)))["arms"]
    assert (new["version"], new["arm_no"]) == (2, 3)
    await fleet.until(lambda answer: answer.arm_id == "a", experiment, candidates=["a"])
    made += [await client.select(experiment, f"user-{n}", ["b", "a"]) for n in range(20)]
    made += [await client.select(experiment, f"user-{n}") for n in range(20)]
    # Each alone as well: the draws above need not have met the arm of the smaller weight.
    made += [await client.select(experiment, "user-0", [arm]) for arm in "ab"]
    assert {"a", "b"} == {each.arm_id for each in made[40:]}
    assert await client.reward(made[-1].decision_id, 0.0) == "ACCEPTED"
    await until_folded(api, experiment, len(early) + 1)

    verified = await pullarm("verify", experiment, "--state", str(platform.settings.state))
    assert (verified.status, "clean" in verified.output) == (0, True), verified.output
    for redone in await explained(platform, made):
        assert (redone.verdict, redone.differences) == (Verdict.REPRODUCED, ())


async def test_arms_file_may_state_all_that_the_api_takes(
    platform: Platform, api: httpx.AsyncClient, tmp_path: Path
) -> None:
    file = tmp_path / "arms.csv"
    file.write_text("id,prior_serves,prior_rewards,status\nleft,20,2,\nright,,,paused\n")
    launched = await pullarm(
        *("launch", "--name", "From a file", "--arms", str(file)),
        *("--control-url", platform.http_url, "--state", str(platform.settings.state)),
    )
    assert launched.status == 0, launched.errors
    listed = (await answered(api.get(f"/{launched.output.split()[0]}/arms")))["arms"]
    assert [(arm["id"], arm["prior_serves"], arm["status"]) for arm in listed] == [
        ("left", 20.0, "active"),
        ("right", 0.0, "paused"),
    ]
