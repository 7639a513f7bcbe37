import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.capacity import BUSY, Costs, Load, needed
from cli import capacity
from pullarm.domain.errors import ConfigurationError

LOAD = Load(
    decisions_per_s=1_000,
    rewards=0.5,
    candidates=10,
    batch=1,
    arms=1_000,
    experiments=2,
    retention_days=10,
)
COSTS = Costs(
    call_us=300,
    decision_us=100,
    candidate_us=1,
    process_cores=1.0,
    lone_call_us=500,
    lone_redis_us=40,
    lone_per_s=300,
    redis_call_us=20,
    redis_event_us=4,
    worker_us=20,
    postgres_us=40,
    worker_per_s=25_000,
    worker_least=0.06,
    postgres_least=0.09,
    waiting_bytes=200,
    ledger_bytes=300,
    serving_bytes=2e8,
    sources=("by hand",),
)


def test_the_arithmetic_can_be_done_by_hand() -> None:
    need = needed(LOAD, COSTS)
    # 1,500 calls of 400 us are 0.6 cores, which keep one busy to 60 %
    assert need.serving_cores == pytest.approx(1_500 * 400e-6 / BUSY) == pytest.approx(1.0)
    assert need.redis_cores == pytest.approx(1_500 * 24e-6 / BUSY)
    few = needed(replace(LOAD, decisions_per_s=100), COSTS)  # 150 calls, which have little to share
    assert few.serving_cores == pytest.approx(150 * 600e-6 / BUSY)
    assert few.redis_cores == pytest.approx(150 * 44e-6 / BUSY)
    assert need.postgres_cores == pytest.approx(2 * 0.09 / BUSY)  # 1,500 x 40 us are less
    assert need.worker_cores == pytest.approx(2 * 0.06 / BUSY)
    assert need.postgres_bytes_a_day == pytest.approx(1_500 * 86_400 * 300)
    assert need.postgres_bytes == pytest.approx(10 * need.postgres_bytes_a_day)
    assert need.serving_bytes == pytest.approx(2e8 + 2_000 * 2_250)
    assert need.stream_fills_s == pytest.approx(2**28 / 1_500 / 200)
    assert need.serving_processes == need.workers == 2  # one may end


def test_ten_times_the_load_takes_ten_times_as_much() -> None:
    one, ten = needed(LOAD, COSTS), needed(replace(LOAD, decisions_per_s=10_000), COSTS)
    assert ten.serving_processes == 10
    assert ten.postgres_cores == pytest.approx(15_000 * 40e-6 / BUSY)
    assert ten.redis_cores == pytest.approx(10 * one.redis_cores)
    assert ten.stream_fills_s == pytest.approx(one.stream_fills_s / 10)
    assert ten.first.startswith("Redis")
    assert ten.first_at == pytest.approx(ten.redis_cores)


def test_batches_share_calls_and_candidates_cost() -> None:
    one = needed(LOAD, COSTS)
    assert needed(replace(LOAD, batch=100), COSTS).serving_cores < one.serving_cores / 3
    more = needed(replace(LOAD, candidates=110), COSTS)
    assert more.serving_cores - one.serving_cores == pytest.approx(1_000 * 100e-6 / BUSY)


def test_kept_runs_hold_every_cost(capsys: pytest.CaptureFixture[str]) -> None:
    costs = Costs.of()
    named = {name: getattr(costs, name) for name in Costs.__slots__ if name != "sources"}
    assert named.pop("candidate_us") >= 0  # no run need show it beside the call
    assert all(0 < value < 1e10 for value in named.values())
    capacity.command(decisions_per_second=1e6, batch=100)
    said = capsys.readouterr().out
    assert "First to give: Redis" in said
    assert costs.sources[0].split(":")[0] in said.replace("\n", " ")
    capacity.command(decisions_per_second=500, as_json=True)
    assert json.loads(capsys.readouterr().out)["need"]["serving_processes"] == 2


def test_a_run_of_your_own_goes_before(tmp_path: Path) -> None:
    machine = {"cores": 64, "cpu": "yours"}
    fold = {
        "worker_cpu_us": 1,
        "postgres_cpu_us": 2,
        "events_per_s": 3,
        "waiting_bytes_an_event": 4,
        "ledger_bytes_an_event": 5,
    }
    run = tmp_path / "mine.json"
    run.write_text(json.dumps({"suites": [{"name": "fold", "details": fold}], "machine": machine}))
    costs = Costs.of([run])
    assert (costs.postgres_us, costs.ledger_bytes) == (2, 5)
    assert costs.sources[-1] == "mine.json: 64 cores of yours"
    assert costs.call_us == Costs.of().call_us


@pytest.mark.parametrize("text", ["{}", "no", '{"suites": [1], "machine": {}}'])
def test_what_is_no_run_is_named(tmp_path: Path, text: str) -> None:
    run = tmp_path / "mine.json"
    run.write_text(text)
    with pytest.raises(ConfigurationError, match=r"mine\.json.*pullarm bench --json"):
        Costs.of([run])
