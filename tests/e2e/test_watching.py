"""What alert rules and dashboard ask Prometheus for is what the processes tell."""

import asyncio
import re

import httpx
import pytest

from cli.platform import Platform
from tests import promql
from tests.e2e import upstream
from tests.e2e.upstream import PATIENCE_S, answered

pytestmark = pytest.mark.asyncio(loop_scope="session")

_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}


def told(scrape: str) -> set[str]:
    """The names of the series of a scrape, those that have no value yet among them."""
    families = re.findall(r"^# TYPE (\S+) (\w+)$", scrape, re.MULTILINE)
    return {name + suffix for name, kind in families for suffix in ("", *_SUFFIXES.get(kind, ()))}


async def test_every_process_says_that_it_lives(platform: Platform) -> None:
    here = {
        "serving-0": platform.grpc_address,
        "serving-1": platform.grpc_address,
        "control": platform.http_url.removeprefix("http://"),
        "worker": "",
    }
    wanted = {(name, platform.pids[name], address) for name, address in here.items()}
    async with upstream.http(platform) as api, asyncio.timeout(PATIENCE_S):
        while True:
            told = (await answered(api.get("/api/system")))["instances"]
            if wanted <= {(each["name"], each["pid"], each["address"]) for each in told}:
                return
            await asyncio.sleep(0.1)


async def test_every_metric_that_is_asked_for_is_told(platform: Platform) -> None:
    logs = platform.settings.state / "logs"
    bases = [platform.http_url]
    for process in ("serving-0", "serving-1", "worker"):
        ports = re.findall(r"metrics on port (\d+)", (logs / f"{process}.log").read_text())
        bases.append(f"http://127.0.0.1:{ports[-1]}")
    found = {"up"}  # Prometheus' own
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        for base in bases:
            answer = await client.get(f"{base}/metrics")
            assert answer.status_code == 200
            found |= told(answer.text)
    expressions = [*(rule["expr"] for rule in promql.alerts()), *promql.asked()]
    assert {name for each in expressions for name in promql.metrics(each)} <= found
