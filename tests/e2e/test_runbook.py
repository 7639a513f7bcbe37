"""The original runbook's lines work as they stand, but for the host and a token."""

import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.platform import Platform
from tests.e2e import upstream
from tests.e2e.commands import pullarm
from tests.e2e.upstream import Fleet, answered

pytestmark = pytest.mark.asyncio(loop_scope="session")

LINES = (Path(__file__).parents[1] / "fixtures" / "runbook.sh").read_text()
HOST = "http://localhost:8000"


def commands() -> list[list[str]]:
    """The words of each command, in order."""
    logical = LINES.replace("\\\n", " ")
    words = shlex.split(
        logical.replace("\ncurl ", "\n; curl ").replace("\npython ", "\n; python "), comments=True
    )
    found: list[list[str]] = []
    for word in words:
        if word == ";":
            found.append([])
        else:
            found[-1].append(word)
    return found


async def curl(http: httpx.AsyncClient, words: list[str], experiment: str) -> dict[str, Any]:
    """What curl would ask, and the JSON of the answer."""
    options, url = dict[str, list[str]](), ""
    given = iter(words)
    for word in given:
        if word.startswith("-"):
            options.setdefault(word, []).append(next(given))
        else:
            url = word
    assert options.keys() <= {"-X", "-H", "-d"}
    body = options.get("-d", [None])[0]
    method = options.get("-X", ["POST" if body else "GET"])[0]
    headers = dict(header.split(": ", 1) for header in options.get("-H", ()))
    path = url.removeprefix(HOST).replace("{experiment_id}", experiment)
    return await answered(http.request(method, path, content=body, headers=headers))


async def test_launch_verify_and_stop(platform: Platform, fleet: Fleet) -> None:
    launch, create, show, summary, guardrails, stop, verify = commands()
    here = ("--control-url", platform.http_url, "--state", str(platform.settings.state))
    launched = await pullarm("launch", *launch[2:], *here)
    assert launched.status == 0, launched.errors
    experiment = launched.output.split()[0]
    offered = ["a", "b"]  # nothing is known of them, and they become arms
    taking = ("ASSIGNED", "NOT_IN_TRAFFIC")
    await fleet.until(lambda answer: answer.reason in taking, experiment, candidates=offered)
    async with upstream.http(platform) as http:
        made = await curl(http, create[1:], experiment)
        assert (made["name"], made["traffic_pct"], made["state"]) == (
            "Bandit Test v1",
            0.8,
            "draft",
        )
        assert made["default_policy"] == "thompson"
        shown = await curl(http, show[1:], experiment)
        assert (shown["state"], shown["duration_days"]) == ("running", 14.0)
        figures = await curl(http, summary[1:], experiment)
        assert set(figures["policies"]) == {"thompson", "egreedy", "ucb", "control"}
        assert {each["share"] for each in figures["policies"].values()} == {0.25}
        guarded = await curl(http, guardrails[1:], experiment)
        assert (guarded["state"], guarded["rollbacks"], guarded["max_rollbacks"]) == (
            "running",
            [],
            3,
        )
        await curl(http, stop[1:], experiment)
        stopped = await curl(http, verify[1:], experiment)
    assert stopped["state"] == "stopped"
    assert stopped["end_at"] == stopped["updated_at"]
    await fleet.until_reason("NOT_RUNNING", experiment)
