"""`pullarm export` and `pullarm check-log` against a running platform: what serving logged is a sound log."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from cli.platform import Platform
from pullarm.client import Client, Selection
from replay.log_file import read_log
from replay.log_table import open_log
from tests.e2e.commands import Ended, pullarm
from tests.e2e.upstream import PATIENCE_S, Fleet, answered, launch
from tests.log_columns import columns_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
ARMS = ["a", "b", "c", "d"]
DECISIONS = 70
"""One of four policies has none of their users once in 140 million runs."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(
    api: httpx.AsyncClient, fleet: Fleet, client: Client
) -> tuple[str, Sequence[Selection]]:
    """The key of an experiment and its folded decisions, all of them rewarded in the first slot."""
    launched = await launch(api, fleet, policies="thompson,egreedy,ucb,control", arms=ARMS)
    selections = []
    for number in range(DECISIONS):
        selection = await client.select(launched["id"], f"user-{number}", ARMS[:3], slots=2)
        await client.reward(selection.decision_id, 1.0, arm=selection.arm_id)
        selections.append(selection)
    async with asyncio.timeout(PATIENCE_S):
        while (await answered(api.get(f"/{launched['id']}/summary")))[
            "rewards_received"
        ] < DECISIONS:
            await asyncio.sleep(0.05)
    return launched["key"], selections


async def export(platform: Platform, *arguments: str) -> Ended:
    return await pullarm("export", *arguments, "--state", str(platform.settings.state))


async def test_log_is_what_was_answered_and_is_sound(
    platform: Platform, served: tuple[str, Sequence[Selection]], tmp_path: Path
) -> None:
    """In all three formats; `launch` has made decisions without a known candidate beside them."""
    key, selections = served
    logs = []
    for log_format in ("parquet", "csv", "jsonl"):
        path = tmp_path / f"log.{log_format}"
        ended = await export(platform, key, "--out", str(path))
        assert (ended.status, ended.output) == (0, ""), ended.errors
        checked = await pullarm("check-log", str(path))
        assert checked.status == 0, checked.output + checked.errors
        logs.append(list(read_log(path)))
        assert f"{len(logs[-1]):,} rows" in ended.errors
        assert f": clean, {len(logs[-1]):,} rows of " in checked.output
    assert logs[0] == logs[1] == logs[2]
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        *("log.csv", "log.jsonl", "log.parquet")
    ]
    assigned = [row for row in logs[0] if row.reason == "ASSIGNED"]
    assert [(row.acting, row.arm_id, row.slot, row.propensity) for row in assigned] == [
        (selection.policy, choice.arm_id, choice.slot, choice.propensity)
        for selection in selections
        for choice in selection.choices
    ]
    assert {row.floor for row in assigned} == {0.05, 0.1, None}
    assert [row.rewards["reward"].credit for row in assigned if row.slot == 1] == [1.0] * DECISIONS


async def test_log_is_loaded_for_replay(
    platform: Platform, served: tuple[str, Sequence[Selection]], tmp_path: Path
) -> None:
    """As a bandit log: what a policy chose, with its propensity, and what each slot could choose from."""
    key, selections = served
    path = tmp_path / "log.parquet"
    assert (await export(platform, key, "--out", str(path))).status == 0
    loaded = await pullarm("replay", "load", "--log", str(path), "--out", str(tmp_path), "--json")
    assert loaded.status == 0, loaded.errors
    told = json.loads(loaded.output)
    assert told["counts"]["used"] == 2 * DECISIONS
    assert told["counts"]["rewarded"] == DECISIONS
    assert told["counts"]["used"] + told["counts"]["no_policy"] == told["counts"]["rows"]
    log = open_log(Path(told["written"]))
    found = columns_of(log)
    choices = [
        (selection.policy, choice.arm_id, choice.slot, choice.propensity)
        for selection in selections
        for choice in selection.choices
    ]
    policies = [log.head.policies[policy] for policy in found["policy"]]
    arms = [log.head.arms[action] for action in found["action"]]
    rows = zip(policies, arms, found["slot"], found["propensity"], strict=True)
    assert list(rows) == choices
    assert [len(each) for each in found["candidates"]] == [3, 2] * DECISIONS
    assert sum(found["reward"]) == DECISIONS


async def test_what_a_policy_had_learned_is_read_back_for_an_estimate(
    platform: Platform, served: tuple[str, Sequence[Selection]], tmp_path: Path
) -> None:
    """On its own rows every weight is 1: exactly, but for Thompson's sums, which go by the order of arms."""
    key, _ = served
    path, posterior = tmp_path / "log.parquet", str(tmp_path / "posterior.json")
    assert (await export(platform, key, "--out", str(path))).status == 0
    folder = str(tmp_path)
    assert (await pullarm("replay", "load", "--log", str(path), "--out", folder)).status == 0
    wanted = ("--log", folder, "--out", posterior)
    where = ("--state", str(platform.settings.state))
    written = await pullarm("replay", "posteriors", key, *wanted, *where)
    assert written.status == 0, written.errors
    for policy, within in (("thompson", 1e-6), ("egreedy", 0.0), ("ucb", 0.0)):
        asked = ("--policy", policy, "--posterior", posterior, "--logged-by", policy, "--json")
        ended = await pullarm("replay", "evaluate", folder, *asked)
        found = json.loads(ended.output)["findings"]
        assert found["rounds"] > 0
        assert found["max_weight"] == pytest.approx(1.0, abs=within)
        assert found["effective_rounds"] == pytest.approx(found["rounds"], rel=within)


async def test_spoilt_log_fails_the_check_and_names_the_row(
    platform: Platform, served: tuple[str, Sequence[Selection]], tmp_path: Path
) -> None:
    ended = await export(platform, served[0], "--format", "jsonl")
    lines = ended.output.splitlines(keepends=True)
    spoilt = json.loads(lines[2]) | {"propensity": 2.0}
    path = tmp_path / "log.jsonl"
    path.write_text("".join([*lines[:2], json.dumps(spoilt) + "\n", *lines[3:], lines[0]]))
    found = await pullarm("check-log", str(path))
    assert found.status == 1
    *findings, verdict = found.output.splitlines()
    assert f": {len(findings)} findings, {len(lines) + 1} rows of " in verdict
    assert f"row 3, decision {spoilt['decision_uid']} slot {spoilt['slot']}: " in findings[0]
    assert "propensity: 2.0 is not weight / total" in findings[0]
    assert f"row {len(lines) + 1}, " in findings[-1]
    assert ": duplicate: " in findings[-1]
    short = await pullarm("check-log", str(path), "--most", "1")
    assert short.output.splitlines()[:2] == [findings[0], f"and {len(findings) - 1} more"]


async def test_span_of_time(platform: Platform, served: tuple[str, Sequence[Selection]]) -> None:
    nothing = await export(platform, served[0], "--format", "csv", "--until", "2001-02-03")
    assert nothing.status == 0, nothing.errors
    (head,) = nothing.output.splitlines()
    assert head.startswith("decision_uid,decided_at,experiment,")
    some = await export(platform, served[0], "--format", "csv", "--since", "2001-02-03T04:05Z")
    assert some.output.splitlines()[0] == head
    assert len(some.output.splitlines()) > 2 * DECISIONS


async def test_what_cannot_be_exported_is_told(
    platform: Platform, served: tuple[str, Sequence[Selection]], tmp_path: Path
) -> None:
    key, missing = served[0], str(tmp_path / "missing" / "log.csv")
    for arguments, said in (
        ((key, "--format", "parquet"), "--out: is needed with parquet"),
        ((key, "--out", "log.txt"), "--out: log.txt ends in none of .parquet, .csv, .jsonl"),
        (("nothing", "--format", "csv"), "there is no experiment 'nothing'"),
        ((key, "--format", "csv", "--since", "soon"), "--since: 'soon' is no ISO time"),
        ((key, "--format", "csv", "--out", missing), "cannot be written: No such file"),
    ):
        ended = await export(platform, *arguments)
        assert (ended.status, ended.output) == (1, "")
        assert said in ended.errors
        assert "Traceback" not in ended.errors
    unknown = await pullarm("check-log", missing)
    assert (unknown.status, "cannot be read at row 1" in unknown.errors) == (1, True)


async def test_running_platform_is_republished(
    platform: Platform,
    api: httpx.AsyncClient,
    served: tuple[str, Sequence[Selection]],
    tmp_path: Path,
) -> None:
    async def version() -> int:
        found: int = (await answered(api.get(f"/{served[0]}/summary")))["posterior_version"]
        return found

    before = await version()
    for _ in range(2):  # what was folded just before may move the version by one
        ended = await pullarm("republish", "--state", str(platform.settings.state))
        assert ended.status == 0, ended.errors
        assert ended.output.endswith(" experiments republished\n")
    async with asyncio.timeout(PATIENCE_S):
        while await version() < before + 2:  # the summary is told anew every second
            await asyncio.sleep(0.1)
    unset = await pullarm("republish", "--state", str(tmp_path))
    assert (unset.status, "REDIS_URL is not set" in unset.errors) == (1, True)
