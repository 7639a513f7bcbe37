"""`pullarm rebuild` against a running platform."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from cli.platform import Platform
from pullarm.client import Client, Selection
from tests.e2e.commands import Ended, pullarm
from tests.e2e.upstream import PATIENCE_S, Fleet, answered, launch

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]
ARMS = ["a", "b", "c"]


@dataclass
class Poisoned:
    """An experiment in which a bot rewards one arm."""

    platform: Platform
    api: httpx.AsyncClient
    fleet: Fleet
    client: Client
    key: str
    selections: list[Selection] = field(default_factory=list)
    rewarded: int = 0

    async def rebuild(self, *arguments: str) -> Ended:
        return await pullarm(
            "rebuild", self.key, *arguments, "--state", str(self.platform.settings.state)
        )

    async def rebuilt(self, *arguments: str) -> dict[str, Any]:
        ended = await self.rebuild(*arguments, "--json")
        assert ended.status == 0, ended.errors
        document: dict[str, Any] = json.loads(ended.output)
        return document

    async def select(self, users: range) -> None:
        """Decisions of these users; the bot rewards arm a."""
        for user in users:
            selection = await self.client.select(self.key, f"user-{user}", ARMS)
            self.selections.append(selection)
            if selection.arm_id == "a":
                await self.client.reward(selection.decision_id, 1.0, source="bot")
                self.rewarded += 1
        async with asyncio.timeout(PATIENCE_S):
            while True:
                summary = await answered(self.api.get(f"/{self.key}/summary"))
                serves = summary["policies"]["thompson"]["serves"]
                if (serves, summary["rewards_received"]) == (len(self.selections), self.rewarded):
                    break
                await asyncio.sleep(0.05)

    async def prove(self) -> None:
        """The ledger proves the posterior, and decisions from all times can be redone."""
        state = ("--state", str(self.platform.settings.state))
        verified = await pullarm("verify", self.key, *state)
        assert verified.status == 0, verified.output
        for selection in (self.selections[0], self.selections[30], self.selections[-1]):
            explained = await pullarm("explain", selection.decision_id, *state)
            assert explained.status == 0, explained.output


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def poisoned(
    platform: Platform, api: httpx.AsyncClient, fleet: Fleet, client: Client
) -> Poisoned:
    launched = await launch(api, fleet, policies="thompson", arms=ARMS)
    return Poisoned(platform, api, fleet, client, launched["key"])


def change(document: dict[str, Any]) -> dict[str, Any]:
    """The only arm that changed."""
    (found,) = document["changes"]
    assert (found["policy"], found["arm_no"], found["arm_id"]) == ("thompson", 1, "a")
    return dict(found)


async def test_source_is_unlearned_and_restored_while_serving_goes_on(poisoned: Poisoned) -> None:
    await poisoned.select(range(40))
    false = poisoned.rewarded
    assert false > 5
    bot = ("--exclude-source", "bot")
    seen = await poisoned.rebuilt(*bot, "--dry-run")
    assert (seen["done"], seen["credits"]) == (False, false)
    before, after = change(seen)["before"], change(seen)["after"]
    assert before == {
        "serves": false,
        "rewards": false,
        "alpha": false + 1,
        "beta": 1.0,
        "mean": (false + 1) / (false + 2),
        "weight": before["weight"],
    }
    assert (after["serves"], after["rewards"], after["alpha"], after["beta"]) == (
        false,
        0,
        1,
        false + 1,
    )
    assert after["weight"] < 0.4 < before["weight"]

    version = poisoned.selections[-1].posterior_version
    done = await poisoned.rebuilt(*bot, "--yes", "--note", "clicks of a bot")
    assert (done["done"], done["rebuild"], done["changes"]) == (True, 1, seen["changes"])
    await poisoned.fleet.until(
        lambda answer: answer.posterior_version > version, poisoned.key, candidates=["none"]
    )
    await poisoned.prove()

    await poisoned.select(range(40, 60))  # rewards of that source go on and teach nothing
    nothing = await poisoned.rebuilt("--dry-run")
    assert (nothing["changes"], nothing["credits"]) == ([], 0)
    await poisoned.prove()

    shown = await poisoned.rebuild("--restore", "1", "--yes")
    assert shown.status == 0, shown.errors
    assert f"0 -> {poisoned.rewarded}" in shown.output
    assert "rebuild 2 of " in shown.output
    await poisoned.prove()
    listed = await poisoned.rebuild("--list")
    assert "rewards of source 'bot'" in listed.output
    assert "restored rebuild 1" in listed.output
    assert "clicks of a bot" in listed.output
    first, second = (await poisoned.rebuilt("--list"))["rebuilds"]
    assert (first["source"], first["lifted_fold"]) == ("bot", second["fold_no"])


async def test_bad_input_is_told_before_anything_is_done(
    poisoned: Poisoned, tmp_path: Path
) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    told = {
        ("--until", tomorrow, "--yes"): "--until: ",
        ("--until", "yesterday", "--yes"): "'yesterday' is no ISO time",
        ("--exclude-window", "2026-08-02", "2026-08-01", "--yes"): "ends before it begins",
        ("--exclude-source", "bot"): "--yes: is needed with --json or without a terminal",
        ("--restore", "9", "--yes"): "no rebuild 9 of this experiment",
        ("--restore", "1", "--until", "2026-08-01", "--yes"): "--restore: takes no condition",
        ("--list", "--restore", "1"): "--list: takes no condition",
    }
    for arguments, problem in told.items():
        ended = await poisoned.rebuild(*arguments)
        assert (ended.status, ended.output) == (1, ""), arguments
        assert problem in ended.errors
        assert "Traceback" not in ended.errors
    unknown = await pullarm(
        "rebuild", "nothing", "--dry-run", "--state", str(poisoned.platform.settings.state)
    )
    assert (unknown.status, "no experiment 'nothing'" in unknown.errors) == (1, True)
    nowhere = await pullarm("rebuild", poisoned.key, "--dry-run", "--state", str(tmp_path))
    assert f"no platform runs on {tmp_path}" in nowhere.errors
