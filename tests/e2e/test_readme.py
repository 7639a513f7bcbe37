"""Snippets of the documentation do what it says: they are run as they stand, but for the address."""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.platform import Platform
from tests.e2e import upstream

ROOT = Path(__file__).resolve().parents[2]
PAGES = "\n".join(page.read_text() for page in (ROOT / "README.md", *ROOT.glob("docs/*.md")))
SNIPPETS = re.findall(r"<!-- tested: .*? -->\n```python\n(.*?)```", PAGES, re.DOTALL)
FIELDS = re.findall(r"<!-- tested: .*? -->\n```json\n(.*?)```", PAGES, re.DOTALL)


@pytest.fixture
async def front_page(platform: Platform) -> str:
    """The experiment that the snippets name."""
    async with upstream.http(platform) as http:
        body = {"name": "Front page", "key": "front-page", "arms": ["a", "b", "c"]}
        created = (await http.post("/api/experiments", json=body)).raise_for_status().json()
        (await http.post(f"/api/experiments/{created['id']}/start")).raise_for_status()
    return str(created["id"])


async def _run(snippet: str, address: str) -> str:
    """The snippet's output; tried again while serving does not yet know the experiment."""
    code = snippet.replace("127.0.0.1:50051", address)
    for _ in range(50):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            code,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        if process.returncode == 0:
            return out.decode()
        assert b"there is no experiment" in err, err.decode()
    raise AssertionError("serving never saw the experiment")


def test_there_are_two_snippets() -> None:
    assert len(SNIPPETS) == 2


@pytest.mark.timeout(90)
async def test_the_snippets_run(platform: Platform, front_page: str) -> None:
    client, reflection = [await _run(snippet, platform.grpc_address) for snippet in SNIPPETS]
    policy, arm, _ = client.splitlines()[0].split()
    assert policy in ("thompson", "egreedy", "ucb", "control")
    assert arm in ("a", "b", "c")
    assert client.splitlines()[1] == "ACCEPTED"
    assert 'policy: "' in reflection
    assert "reason: REASON_ASSIGNED" in reflection


async def test_fields_of_an_experiment_mean_what_they_say(platform: Platform) -> None:
    assert len(FIELDS) == 2
    asked: dict[str, Any] = {"name": "As documented"}
    for fields in FIELDS:
        asked |= json.loads(f"{{{fields}}}")
    async with upstream.http(platform) as http:
        created = (await http.post("/api/experiments", json=asked)).raise_for_status().json()
    kinds = [{"threshold": None} | kind for kind in asked["reward"]["kinds"]]
    assert created["reward"] == asked["reward"] | {"kinds": kinds}
    assert created["targeting"] == asked["targeting"]
