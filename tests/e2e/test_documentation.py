"""Every fenced command of README and docs runs: as it stands, but for addresses, ids, and how much of it."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from cli.platform import OWN, Platform
from cli.remote import TOKEN
from pullarm.client import Client, Selection
from pullarm.storage.postgres import Database, PostgresLedger
from tests.e2e import upstream
from tests.e2e.documented import PAGES, ROOT, blocks, made, replaced, script, understood
from tests.e2e.upstream import PATIENCE_S, Fleet, answered
from tests.movielens_miniature import write_miniature
from tests.state_folders import temporary_state
from tests.unit.test_obd import HEAD, ROWS
from tests.unit.test_replay_commands import LOG
from tests.unit.test_vw_reader import DSJSON

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]
ARMS = ["a", "b", "c", "sunset"]
DECISIONS = 60
MADE = {
    "demo": "tests/e2e/test_demo.py",
    "soak": "tests/e2e/test_disasters.py",
    "bench": "tests/e2e/test_bench.py",
    "drill": "tests/e2e/test_drills.py",
    "pytest": "tests",
    "tools.audit": "tests/unit/test_audit_tool.py",
}
"""Where what a `make` line starts is run, in a short form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A platform of the documentation's own, and a folder that looks like a checkout with it in `.pullarm`."""

    platform: Platform
    api: httpx.AsyncClient
    fleet: Fleet
    folder: Path
    environment: dict[str, str]

    async def experiment(self, key: str, **fields: object) -> tuple[str, list[Selection]]:
        """The id of a new running experiment, and its decisions, each rewarded and folded."""
        launched = await upstream.launch(self.api, self.fleet, key=key, arms=ARMS, **fields)
        async with Client(self.platform.grpc_address, timeout_s=30) as client:
            selections = []
            for number in range(DECISIONS):
                selections.append(await client.select(key, f"user-{number}", ARMS))
                await client.reward(selections[-1].decision_id, float(number % 2))
        async with asyncio.timeout(PATIENCE_S):
            while (await answered(self.api.get(f"/{key}/summary")))["rewards_received"] < DECISIONS:
                await asyncio.sleep(0.05)
        return launched["id"], selections

    async def process(self) -> str:
        """The name of a serving process as `status` has it."""
        url = self.platform.environment["DATABASE_URL"]
        async with Database(url, max_connections=1) as database:
            return (await PostgresLedger(database).intake())[0].process

    async def run(self, *command: str) -> str:
        """What a command prints in the folder; it has to succeed."""
        process = await asyncio.create_subprocess_exec(
            *command, cwd=self.folder, env=self.environment, stdout=PIPE, stderr=STDOUT
        )
        told, _ = await process.communicate()
        assert process.returncode == 0, told.decode()[-5_000:]
        return told.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder = tmp_path_factory.mktemp("checkout")
    own = {*OWN, TOKEN, "MAKEFLAGS", "PYTEST_XDIST_WORKER"}
    environment = {name: os.environ[name] for name in os.environ.keys() - own}
    with temporary_state() as state:
        async with (
            upstream.running(state) as platform,
            upstream.rest(platform) as api,
            upstream.fleet(platform.grpc_address) as fleet,
        ):
            furnish(folder, state)
            environment |= {
                "PATH": f"{folder / 'bin'}:{environment['PATH']}",
                "PULLARM_CONTROL_URL": platform.http_url,
                TOKEN: platform.token,
                "COLUMNS": "200",
            }
            yield Scene(
                platform=platform, api=api, fleet=fleet, folder=folder, environment=environment
            )


def furnish(folder: Path, state: Path) -> None:
    """What the documentation takes to be there."""
    (folder / ".venv").symlink_to(Path(sys.prefix))
    (folder / ".pullarm").symlink_to(state)
    (folder / "bin").mkdir()
    for name in ("curl", "grpcurl"):
        tool = folder / "bin" / name
        tool.write_text(
            f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m tests.e2e.{name} "$@"\n'
        )
        tool.chmod(0o755)
    write_miniature(folder / "PATH" / "ml-1m", seed=3)
    obd = folder / "PATH" / "random" / "all"
    obd.mkdir(parents=True)
    (obd / "all.csv").write_text("\n".join((HEAD, *ROWS)) + "\n")
    (obd / "item_context.csv").write_text(",item_id\n0,0\n1,1\n2,2\n")
    (folder / "log.dsjson").write_text(json.dumps(DSJSON) + "\n")
    (folder / "log.csv").write_text(LOG)
    (folder / "arms.csv").write_text("id,label\nc,Harbour\n")


async def test_every_fence_is_of_a_language_that_is_run() -> None:
    found = {page.name: {block.language for block in blocks(page)} for page in PAGES}
    assert set().union(*found.values()) <= {"", "sh", "python", "json", "sql"}
    assert {"sh", "python"} <= found["README.md"]


@pytest.mark.parametrize("page", [page for page in PAGES if made(page)], ids=lambda p: p.name)
async def test_make_lines_are_understood_and_run_elsewhere(page: Path) -> None:
    for line in made(page):
        ran = await asyncio.to_thread(understood, line.replace("PATH/", "./"))
        assert (ROOT / MADE[ran]).exists(), line


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "sh")], ids=lambda p: p.name)
async def test_the_commands_of_a_page_run(scene: Scene, page: Path) -> None:
    key = f"of-{page.stem.lower()}"
    experiment, selections = await scene.experiment(key)
    tokens = f"{scene.platform.http_url}/api/tokens"
    token = await answered(scene.api.post(tokens, json={"name": "old", "role": "viewer"}))
    given = {
        "front-page": key,
        "exp_...": experiment,
        "tok_...": token["id"],
        "DECISION_ID": selections[0].decision_id,
        "PROCESS": await scene.process(),
        "http://localhost:8000": scene.platform.http_url,
        "127.0.0.1:50051": scene.platform.grpc_address,
        "host:50051": scene.platform.grpc_address,
    }
    if page.name == "replay.md":
        log = f"{key}.parquet"
        await scene.run(*(".venv/bin/pullarm", "export", key, "--format", "parquet", "--out", log))
    text = script(page, given)
    if page.name == "verdicts.md":
        text = await with_a_verdict(scene, key, text)
    await scene.run("sh", "-euxc", text)
    everybody = f"{scene.platform.http_url}/api/groups/all"  # a page holds some users out
    await answered(scene.api.patch(everybody, json={"holdout_pct": 0}))


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "sql")], ids=lambda p: p.name)
async def test_the_statements_of_a_page_run(scene: Scene, page: Path) -> None:
    connection = await asyncpg.connect(scene.platform.environment["DATABASE_URL"])
    try:
        for block in blocks(page, "sql"):
            await connection.execute(block.text)
    finally:
        await connection.close()


async def with_a_verdict(scene: Scene, key: str, text: str) -> str:
    """The text, in which the verdict of 11 March is one that was made just now."""
    await answered(scene.api.post(f"/{key}/decisions"))
    return text.replace("2026-03-11", f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}")


async def test_python_runs(scene: Scene) -> None:
    await scene.experiment("of-python")
    given = {"front-page": "of-python", "127.0.0.1:50051": scene.platform.grpc_address}
    for block in blocks(ROOT / "README.md", "python"):
        told = await scene.run(sys.executable, "-c", replaced(block.text, given))
        if "reflection" in block.text:
            assert 'policy: "' in told
            assert "reason: REASON_ASSIGNED" in told
        else:
            policy, arm, _ = told.splitlines()[0].split()
            assert policy in ("thompson", "egreedy", "ucb", "control")
            assert arm in ("a", "b", "c")
            assert told.splitlines()[1] == "ACCEPTED"


async def test_calls_in_the_middle_of_a_program_run(scene: Scene) -> None:
    pages = [page for page in PAGES if page.name != "README.md"]
    texts = [block.text for page in pages for block in blocks(page, "python")]
    assert len(texts) == 1
    draft = fields() | {"name": "Of calls", "targeting": None, "arms": ARMS}
    launched = await upstream.launch(scene.api, scene.fleet, **draft)
    async with Client(scene.platform.grpc_address, timeout_s=30) as client:
        selection = await client.select(launched["id"], "user-1", ["b"])
    lines = [
        "import asyncio",
        "from pullarm.client import Client",
        "async def calls(decision_id):",
        f'    async with Client("{scene.platform.grpc_address}") as pullarm:',
        *(f"        {line}" for line in texts[0].splitlines()),
        f'asyncio.run(calls("{selection.decision_id}"))',
    ]
    await scene.run(sys.executable, "-c", "\n".join(lines))


def fields() -> dict[str, Any]:
    """What the documentation gives an experiment."""
    given = [block.text for page in PAGES for block in blocks(page, "json")]
    assert len(given) == 2
    asked: dict[str, Any] = {}
    for text in given:
        asked |= json.loads(f"{{{text}}}")
    return asked


async def test_fields_of_an_experiment_mean_what_they_say(scene: Scene) -> None:
    asked = fields()
    created = await answered(scene.api.post("", json=asked | {"name": "As documented"}))
    kinds = [{"threshold": None} | kind for kind in asked["reward"]["kinds"]]
    assert created["reward"] == asked["reward"] | {"kinds": kinds}
    assert created["targeting"] == asked["targeting"]
