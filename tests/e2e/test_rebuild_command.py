"""`pullarm rebuild` against a running platform."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import pytest_asyncio

from cli.platform import Platform
from pullarm.client import Client, Selection
from pullarm.domain.decision_id import decode
from pullarm.storage.postgres import (
    Database,
    PostgresExperiments,
    PostgresHistory,
    PostgresLedger,
)
from replay.explain import Verdict, redo
from serving.settings import read_keys
from tests.e2e.commands import Ended, pullarm
from tests.e2e.upstream import PATIENCE_S, Fleet, answered, launch

pytestmark = pytest.mark.asyncio(loop_scope="session")
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
        """Decisions of these users, of every other about arm a alone; the bot rewards arm a."""
        for user in users:
            candidates = ARMS[: 1 if user % 2 else None]
            selection = await self.client.select(self.key, f"user-{user}", candidates)
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
        """The ledger proves the posterior, and decisions of all times can be redone."""
        keys = read_keys(self.platform.environment)
        async with Database(self.platform.environment["DATABASE_URL"]) as database:
            experiment = await PostgresExperiments(database).get(self.key)
            assert await PostgresLedger(database).verify(experiment.number) == []
            history = PostgresHistory(database)
            for selection in self.selections[::7]:
                logged = await history.logged(decode(selection.decision_id, keys).uid)
                assert logged.decision is not None
                published = await history.published(experiment.number, logged.decision.pub_no)
                assert redo(logged.decision, published).verdict is Verdict.REPRODUCED


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
    assert false >= 20, "no arm is shown more often, whatever is drawn"
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
    await poisoned.prove()

    shown = await poisoned.rebuild("--restore", "1", "--yes")
    assert shown.status == 0, shown.errors
    assert f"0 -> {poisoned.rewarded}" in shown.output
    assert "rebuild 2 of " in shown.output
    listed = await poisoned.rebuild("--list")
    assert "rewards of source 'bot'" in listed.output
    assert "restored rebuild 1" in listed.output
    assert "clicks of a bot" in listed.output
    unknown = await poisoned.rebuild("--restore", "9", "--yes")
    assert (unknown.status, unknown.output) == (1, "")
    assert (
        unknown.errors == "pullarm: no rebuild 9 of this experiment left anything out; see --list\n"
    )
