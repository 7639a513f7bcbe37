"""`pullarm bench` as a process: shapes, statuses and verdicts; nothing is said of speed."""

import json
from typing import Any

import httpx
import pytest

from benchmarks.traffic import arm_names
from cli.platform import Platform
from tests.e2e import upstream
from tests.e2e.commands import pullarm
from tests.e2e.upstream import Fleet

FIGURES = {
    *("p50_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms", "rate", "decisions_per_s", "calls"),
    *("errors", "errors_by_status", "reasons", "cpu_us_per_request", "other_cpu_us_per_request"),
    *("generator_lag_p50_ms", "generator_lag_p99_ms", "methods", "histogram"),
}


def assert_sound(figures: dict[str, Any]) -> None:
    """All figures are there, in order, and nothing failed."""
    assert figures.keys() == FIGURES
    assert figures["calls"] > 0
    assert figures["errors"] == 0
    assert figures["errors_by_status"] == {}
    assert figures["reasons"].keys() == {"ASSIGNED"}
    percentiles = [figures[name] for name in ("p50_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms")]
    assert percentiles == sorted(percentiles)
    assert percentiles[0] > 0


async def test_a_load_is_measured_beside_the_echo_and_a_missed_limit_is_named() -> None:
    load = ("--mode", "mix", "--rate", "60", "--reward-rate", "30", "--duration", "2")
    ended = await pullarm(*("bench", "--json", *load, "--sla", "p50=1us,errors=0"), timeout_s=200)
    assert ended.status == 1
    assert "missed: p50 is" in ended.errors
    assert "limit <= 0.001 ms" in ended.errors
    assert "missed: errors" not in ended.errors
    found = json.loads(ended.output)
    assert_sound(found["ours"])
    assert_sound(found["echo"])
    assert found["ours"]["calls"] == found["echo"]["calls"]  # one schedule for both
    assert found["ours"]["methods"].keys() == {"Select", "Reward"}
    assert {"postgres", "valkey", "worker"} <= found["ours"]["other_cpu_us_per_request"].keys()
    assert found["ratio"].keys() == {"throughput", "p50", "p95", "p99", "server_cpu"}
    for name, key in (("throughput", "rate"), ("p99", "p99_ms")):
        ratio = found["ours"][key] / found["echo"][key]
        assert found["ratio"][name] == pytest.approx(ratio)
    assert found["settings"]["mode"] == "mix"
    assert [check["kept"] for check in found["checks"]] == [False, True]
    assert found["passed"] is False
    assert found["machine"]["cores"] >= 1


async def test_a_stream_is_folded_whole_and_every_reward_gets_to_a_snapshot() -> None:
    suites = ("--only", "fold", "--only", "freshness")
    ended = await pullarm("bench", "--json", *suites, "--duration", "1", timeout_s=200)
    found = json.loads(ended.output)
    assert found["passed"] is (ended.status == 0)
    fold, freshness = (suite["details"] for suite in found["suites"])
    assert fold["events"] == 15_000
    assert fold["missing"] == 0
    assert fold["differences"] == 0
    assert 0 < fold["committed_s"] <= fold["published_s"]
    assert fold["worker_cpu_us"] > 0
    assert fold["postgres_cpu_us"] > 0
    assert freshness["errors"] == 0
    assert freshness["unseen"] == 0
    assert freshness["probes"] > 0
    assert 0 < freshness["p50_ms"] <= freshness["p95_ms"] <= freshness["max_ms"]


@pytest.mark.asyncio(loop_scope="session")
async def test_a_platform_that_runs_already_is_measured_alone(
    platform: Platform, api: httpx.AsyncClient, fleet: Fleet
) -> None:
    experiment = await upstream.launch(api, fleet, arms=arm_names(20))
    where = ("--target", platform.grpc_address, "--experiment", experiment["key"])
    shape = ("--mode", "batch", "--batch", "5", "--arms", "20", "--saturate", "--duration", "1")
    ended = await pullarm("bench", "--json", *where, *shape, timeout_s=100)
    assert ended.status == 0, ended.errors
    found = json.loads(ended.output)
    assert found["echo"] is None
    assert set(found["ratio"].values()) == {None}
    assert found["ours"]["errors"] == 0
    assert found["ours"]["decisions_per_s"] == pytest.approx(5 * found["ours"]["rate"])
    assert found["settings"]["in_flight"] > 0


async def test_a_target_that_is_away_is_named() -> None:
    ended = await pullarm("bench", "--target", "127.0.0.1:1", "--duration", "1")
    assert ended.status == 1
    assert "127.0.0.1:1 takes no connection" in ended.errors
