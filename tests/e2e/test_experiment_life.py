"""An experiment from its draft to its end, over a running platform.

What has to happen within a second is measured up to ten times and the quickest counts: a busy machine may hold up any
one of them, a platform that needs longer is late every time.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.platform import Platform
from pullarm.client import Client, Selection
from pullarm.v1 import selection_pb2 as pb
from replay import synthetic
from tests.e2e.commands import pullarm
from tests.e2e.upstream import PATIENCE_S, Fleet, answered, create, launch

pytestmark = pytest.mark.asyncio(loop_scope="session")

WITHIN_S = 1.0
TRIES = 10


async def quickest(attempt: Callable[[], Awaitable[dict[str, float]]]) -> dict[str, float]:
    """The shortest of up to TRIES measurements of each thing, in seconds."""
    best: dict[str, float] = {}
    for _ in range(TRIES):
        measured = await attempt()
        best = {name: min(took_s, best.get(name, took_s)) for name, took_s in measured.items()}
        if max(best.values()) < WITHIN_S:
            break
    return best


async def test_every_change_reaches_every_serving_process_within_a_second(
    api: httpx.AsyncClient, fleet: Fleet
) -> None:
    async def life() -> dict[str, float]:
        draft = (await create(api))["id"]
        took_s = {"draft": await fleet.until_reason("NOT_RUNNING", draft)}
        await answered(api.post(f"/{draft}/start"))
        took_s["start"] = await fleet.until_reason("ASSIGNED", draft)
        await answered(api.patch(f"/{draft}", json={"traffic_pct": 0}))
        took_s["no traffic"] = await fleet.until_reason("NOT_IN_TRAFFIC", draft)
        await answered(api.patch(f"/{draft}", json={"traffic_pct": 1}))
        took_s["all traffic"] = await fleet.until_reason("ASSIGNED", draft)
        await answered(api.post(f"/{draft}/stop"))
        took_s["stop"] = await fleet.until_reason("NOT_RUNNING", draft)
        return took_s

    best = await quickest(life)
    assert {change: took_s for change, took_s in best.items() if took_s >= WITHIN_S} == {}


async def test_an_experiment_starts_and_ends_by_itself_and_the_trail_says_so(
    platform: Platform, api: httpx.AsyncClient
) -> None:
    begin = datetime.now(UTC) + timedelta(seconds=15)
    plan = {"start_at": begin.isoformat(), "duration_days": 1e-5}
    experiment = (await create(api, **plan))["id"]
    async with asyncio.timeout(PATIENCE_S):
        while (await answered(api.get(f"/{experiment}")))["state"] != "stopped":
            await asyncio.sleep(0.1)
    here = ("--control-url", platform.http_url, "--state", str(platform.settings.state))
    told = await pullarm("audit", experiment, "--json", *here)
    entries = json.loads(told.output)["entries"]
    assert [(each["action"], each["actor"]) for each in entries[:2]] == [
        ("stop", "schedule"),
        ("start", "schedule"),
    ]
    assert datetime.fromisoformat(entries[1]["at"]) >= begin
    lines = (await pullarm("audit", *here)).output.splitlines()
    (made,) = [line for line in lines if "create" in line and experiment in line]
    assert "127.0.0.1" in made


async def test_stopped_experiment_stays_stopped_and_shows_the_callers_own_choice(
    api: httpx.AsyncClient, fleet: Fleet, client: Client
) -> None:
    experiment = (await launch(api, fleet))["id"]
    first = await answered(api.post(f"/{experiment}/stop"))
    again = await answered(api.post(f"/{experiment}/stop"))
    assert (first["state"], first["warnings"]) == ("stopped", [])
    assert again["end_at"] == first["end_at"]
    await fleet.until_reason("NOT_RUNNING", experiment)
    selection = await client.select(experiment, "user", ["b", "a", "c"], slots=2)
    assert [choice.arm_id for choice in selection.choices] == ["b", "a"]
    assert (await api.post(f"/{experiment}/start")).status_code == 409


GREEDY = [{"name": "egreedy", "params": {"epsilon": 0}}]
SHOWN = 256


async def test_reward_changes_the_choice_of_every_serving_process_within_a_second(
    api: httpx.AsyncClient, fleet: Fleet, client: Client, stub: Any
) -> None:
    async def learn() -> dict[str, float]:
        experiment = (await launch(api, fleet, policies=GREEDY))["id"]
        request = pb.SelectRequest(experiment_id=experiment, user_id="user")
        batch = pb.SelectBatchRequest(requests=[request] * SHOWN)
        shown = [each.response for each in (await stub.SelectBatch(batch, timeout=60)).results]
        before = await folded(api, experiment, SHOWN)
        rewards = [
            pb.RewardRequest(decision_id=each.decision_id, value=1.0)
            for each in shown
            if each.choices[0].arm_id == "b"
        ]
        assert 0 < len(rewards) < SHOWN, "epsilon-greedy shares a tie"
        await stub.RewardBatch(pb.RewardBatchRequest(requests=rewards), timeout=60)

        def learned(answer: Selection) -> bool:
            (choice,) = answer.choices
            sure = (choice.arm_id, choice.propensity) == ("b", 1.0)
            return sure and answer.posterior_version > before["posterior_version"]

        return {"reward": await fleet.until(learned, experiment)}

    assert (await quickest(learn))["reward"] < WITHIN_S


async def folded(
    api: httpx.AsyncClient, experiment: str, serves: int, *, rewards: int = 0
) -> dict[str, Any]:
    """The summary once the ledger has this many assigned decisions and as many rewards."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            summary = await answered(api.get(f"/{experiment}/summary"))
            assigned = summary["decisions_by_reason"].get("ASSIGNED", 0)
            if assigned >= serves and summary["rewards_received"] >= rewards:
                return summary
            await asyncio.sleep(0.05)


async def test_unseen_candidates_of_an_open_catalogue_become_arms(
    api: httpx.AsyncClient, fleet: Fleet, client: Client
) -> None:
    draft = await create(api, arms=None, max_arms=3)
    assert (draft["catalogue"], draft["arms"]) == ("open", [])
    experiment = draft["id"]
    await answered(api.post(f"/{experiment}/start"))
    offered = ["east", "west"]

    def known(answer: Selection) -> bool:
        assert answer.arm_id in offered
        return answer.reason == "ASSIGNED"

    await fleet.until(known, experiment, candidates=offered)
    arms = (await answered(api.get(f"/{experiment}")))["arms"]
    assert sorted(arm["id"] for arm in arms) == offered

    offered = ["north", "south"]
    await fleet.until(known, experiment, candidates=offered)
    arms = (await answered(api.get(f"/{experiment}")))["arms"]
    assert len(arms) == 3, "max_arms lets one of the two in"
    mixed = await client.select(experiment, "user", ["east", "north", "south"], slots=3)
    assert {choice.arm_id for choice in mixed.choices} == {arm["id"] for arm in arms} - {"west"}


async def test_summary_is_what_was_driven(
    api: httpx.AsyncClient, fleet: Fleet, client: Client
) -> None:
    traffic = synthetic.Visits(seed=7, users=60)
    experiment = (await launch(api, fleet, arms=[arm.id for arm in traffic.arms]))["id"]
    users: dict[str, set[str]] = {}
    serves: Counter[str] = Counter()
    rewards: Counter[str] = Counter()
    for visit, _ in zip(traffic.visits(), range(400), strict=False):
        selection = await client.select(experiment, visit.user_id, visit.candidates)
        users.setdefault(selection.policy, set()).add(visit.user_id)
        serves[selection.policy] += 1
        if visit.outcome(selection.arm_id):
            assert await client.reward(selection.decision_id, 1.0) == "ACCEPTED"
            rewards[selection.policy] += 1
    assert await client.reward(selection.decision_id, 0.0) == "ACCEPTED"
    assert await client.reward(selection.decision_id, 1.0) == "ACCEPTED"
    assert sum(map(len, users.values())) == len(set().union(*users.values())), "users are sticky"

    received = rewards.total() + 2
    summary = await folded(api, experiment, 400, rewards=received)
    duplicates = 1 + int(bool(visit.outcome(selection.arm_id)))
    assert (summary["rewards_received"], summary["duplicate_rewards"]) == (received, duplicates)
    assert summary["decisions_by_reason"]["ASSIGNED"] == 400
    assert {
        name: (policy["users"], policy["serves"], policy["rewards"])
        for name, policy in summary["policies"].items()
    } == {name: (len(users[name]), serves[name], rewards[name]) for name in serves}
    for name, policy in summary["policies"].items():
        assert policy["rate"] == pytest.approx(rewards[name] / serves[name])


async def test_commands_launch_show_and_stop_an_experiment(
    platform: Platform, fleet: Fleet, tmp_path: Path
) -> None:
    arms = tmp_path / "two arms.json"
    arms.write_text('[{"id": "left", "label": "Left"}, {"id": "right"}]')
    here = ("--control-url", platform.http_url, "--state", str(platform.settings.state))
    options = ("--duration", "14", "--traffic", "1.0", "--policies", "ucb,control")
    launched = await pullarm("launch", "--name", "By hand", *options, "--arms", str(arms), *here)
    assert launched.status == 0, launched.errors
    experiment = launched.output.split()[0]
    await fleet.until_reason("ASSIGNED", experiment)
    answers = await fleet.select(experiment, "user")
    assert {answer.policy for answer in answers if answer} <= {"ucb", "control"}

    shown = await pullarm("status", experiment, *here)
    assert "By hand: running" in shown.output, shown.errors
    assert "ucb" in shown.output
    stopped = await pullarm("stop", experiment, *here)
    assert f"{experiment} is stopped since" in stopped.output, stopped.errors
    await fleet.until_reason("NOT_RUNNING", experiment)
    listed = await pullarm("status", *here)
    (line,) = [line for line in listed.output.splitlines() if experiment in line]
    assert "stopped" in line
