"""The benchmarks' arithmetic: percentiles, rates, ratios, limits and the results that are kept."""

import io
import json
import os
import pickle
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks import machine, report, results, sla
from benchmarks.figures import Comparison, Figures, Slice
from benchmarks.generator import Outcome
from benchmarks.histogram import Histogram
from benchmarks.run import Finding, Run, Settings, Suite
from benchmarks.site import Site
from benchmarks.sla import Check, Limit
from benchmarks.suites import SUITES
from pullarm.domain.errors import InvalidInput


def test_percentiles_are_those_of_the_values_within_a_thousandth() -> None:
    seconds = np.random.default_rng(1).lognormal(-6.0, 1.0, 20_400)
    histogram = Histogram.of(seconds)
    for percent in (50.0, 95.0, 99.0, 99.9):
        exact_ms = np.percentile(seconds, percent, method="inverted_cdf") * 1_000
        assert histogram.percentile_ms(percent) == pytest.approx(exact_ms, rel=2e-3)
    assert histogram.max_ms == pytest.approx(seconds.max() * 1_000, rel=1e-3)


def test_merged_shards_are_the_whole() -> None:
    seconds = np.random.default_rng(2).exponential(0.01, 999)
    merged = Histogram.merged(Histogram.of(part) for part in np.array_split(seconds, 3))
    assert merged.encoded() == Histogram.of(seconds).encoded()
    assert merged.count == 999


def test_a_histogram_survives_text_and_other_processes() -> None:
    histogram = Histogram.of([0.001, 0.002, 0.9])
    for copy in (Histogram.decoded(histogram.encoded()), pickle.loads(pickle.dumps(histogram))):
        assert copy.encoded() == histogram.encoded()
        assert copy.max_ms == histogram.max_ms


def test_without_values_there_is_no_percentile() -> None:
    assert Histogram.of([]).percentile_ms(99) is None
    assert Histogram.of([]).max_ms is None


def outcome(seconds: list[float], statuses: Mapping[str, int], busy_s: float = 1.0) -> Outcome:
    return Outcome(
        latency={"Select": Histogram.of(seconds)},
        lag=Histogram.of([0.0]),
        statuses={"Select": Counter(statuses)},
        reasons=Counter(ASSIGNED=statuses.get("OK", 0)),
        busy_s=busy_s,
    )


def figures(seconds: list[float], cpu_s: float, **statuses: int) -> Figures:
    """One slice of a second with one generator."""
    cpu = {"serving": cpu_s, "worker": 2 * cpu_s}
    return Figures(slices=[Slice(outcomes=[outcome(seconds, statuses)], duration_s=1.0, cpu_s=cpu)])


def test_figures_count_all_generators_and_slices() -> None:
    slices = [
        Slice(
            outcomes=[
                outcome([0.001] * 30, {"OK": 30}, busy_s=2.0),
                outcome([0.001] * 29 + [0.5], {"OK": 28, "UNAVAILABLE": 2}, busy_s=2.5),
            ],
            duration_s=2.0,
            cpu_s={"serving": 0.03},
        ),
        Slice(
            outcomes=[outcome([0.002] * 40, {"OK": 40})], duration_s=1.0, cpu_s={"serving": 0.02}
        ),
    ]
    found = Figures(slices=slices, decisions_a_call=10).as_json()
    assert found["calls"] == 100
    assert found["errors"] == 2
    assert found["errors_by_status"] == {"UNAVAILABLE": 2}
    # 98 answers in 2.5 s, until the last of them came, and 1 s
    assert found["rate"] == pytest.approx(28.0)
    assert found["decisions_per_s"] == pytest.approx(280.0)
    assert found["cpu_us_per_request"] == pytest.approx(500.0)
    assert found["p50_ms"] == pytest.approx(1.0, rel=1e-3)
    assert found["p95_ms"] == pytest.approx(2.0, rel=1e-3)
    assert found["p999_ms"] == found["max_ms"] == pytest.approx(500.0, rel=1e-3)
    assert found["reasons"] == {"ASSIGNED": 98}


def test_ratios_are_ours_over_the_echos() -> None:
    ours = figures([0.003] * 60, 0.06, OK=60)
    echo = figures([0.002] * 80, 0.04, OK=80)
    comparison = Comparison(ours=ours, echo=echo).as_json()
    assert comparison["ratio"]["throughput"] == pytest.approx(0.75)
    assert comparison["ratio"]["p50"] == pytest.approx(1.5, rel=2e-3)
    assert comparison["ratio"]["p99"] == pytest.approx(1.5, rel=2e-3)
    assert comparison["ratio"]["server_cpu"] == pytest.approx(2.0)
    assert comparison["ours"]["other_cpu_us_per_request"] == {"worker": pytest.approx(2_000.0)}
    assert json.loads(json.dumps(comparison)) == comparison


def test_without_an_echo_there_is_no_ratio() -> None:
    alone = Comparison(ours=figures([0.003], 0.06, OK=1), echo=None).as_json()
    assert alone["echo"] is None
    assert set(alone["ratio"].values()) == {None}


def test_limits_are_read_with_their_units() -> None:
    read = sla.parse("p95=120ms, p99=0.5s,p999=900us,max=2s,throughput=5000,errors=0")
    assert [(each.figure, each.at_most, each.at_least) for each in read] == [
        ("p95_ms", 120.0, -np.inf),
        ("p99_ms", 500.0, -np.inf),
        ("p999_ms", pytest.approx(0.9), -np.inf),
        ("max_ms", 2_000.0, -np.inf),
        ("rate", np.inf, 5_000.0),
        ("errors", 0.0, -np.inf),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "names no limit"),
        ("p95", "'p95' is no limit; write NAME=VALUE"),
        ("p95=120", "p95=120: give a number and us, ms or s, such as p95=120ms"),
        ("p95=fast", "p95=fast"),
        ("p95=-1ms", "p95=-1ms"),
        ("p97=1ms", "no figure 'p97'; use one of p50, p95, p99, p999, max, throughput, errors"),
        ("throughput=5k", "throughput=5k: give a number without a unit"),
        ("p95=1ms,p95=2ms", "p95 is there twice"),
    ],
)
def test_a_bad_limit_is_named_with_its_remedy(text: str, problem: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        sla.parse(text)
    assert problem in str(caught.value)
    assert str(caught.value).startswith("--sla: ")


def test_misses_are_named_with_figure_and_limit() -> None:
    limits = sla.parse("p95=120ms,throughput=5000,errors=0")
    checks = sla.checks(limits, {"p95_ms": 130.5, "rate": 5_000.0, "errors": 1.0})
    assert [check.kept for check in checks] == [False, True, False]
    assert str(checks[0]) == "p95 is 130 ms, limit <= 120 ms"
    assert str(checks[1]) == "rate is 5,000 /s, limit >= 5,000 /s"
    assert str(checks[2]) == "errors is 1, limit <= 0"


def test_a_suites_miss_names_the_suite() -> None:
    limit = Limit(figure="decisions_per_s", at_least=25_000, unit="/s")
    (check,) = sla.checks([limit], {"decisions_per_s": 24_999.0}, suite="batch")
    assert str(check) == "batch: decisions per s is 24,999 /s, limit >= 25,000 /s"
    assert check.as_json()["suite"] == "batch"


def test_a_figure_that_is_missing_keeps_no_limit() -> None:
    (check,) = sla.checks(sla.parse("p95=1s"), {"p95_ms": None})
    assert not check.kept
    assert str(check) == "p95 is missing, limit <= 1,000 ms"


@pytest.mark.parametrize(
    ("value", "echo", "kept"),
    [(5.0, 1.0, True), (6.0, 3.9, False), (6.0, 4.0, True), (6.0, None, False)],
)
def test_where_the_machine_is_worse_the_echo_is_the_measure(
    value: float, echo: float | None, kept: bool
) -> None:
    limit = Limit(figure="p95_ms", at_most=5.0, times_echo=1.5, unit="ms")
    assert Check(limit=limit, value=value, echo=echo).kept is kept
    assert str(limit) == "<= 5 ms or 1.5 x echo"


def test_suites_have_names_of_their_own_and_limits() -> None:
    assert len({suite.name for suite in SUITES}) == len(SUITES)
    assert all(suite.limits and suite.description for suite in SUITES)


def test_a_result_is_kept_with_a_line_in_the_table(tmp_path: Path) -> None:
    def keep(name: str, result: str) -> Path:
        return results.keep(
            {"figure": result},
            name=name,
            result=result,
            machine="2 cores",
            today=date(2026, 1, 2),
            folder=tmp_path / "results",
        )

    keep("first", "3 of 4 limits kept")
    keep("second", "4 of 4 limits kept")
    path = keep("first", "4 of 4 limits kept")
    assert path.name == "2026-01-02-first.json"
    assert json.loads(path.read_text()) == {"figure": "4 of 4 limits kept"}
    lines = (tmp_path / "results" / "README.md").read_text().splitlines()
    assert lines[-2:] == [
        "| 2026-01-02 | [second](2026-01-02-second.json) | 4 of 4 limits kept | 2 cores |",
        "| 2026-01-02 | [first](2026-01-02-first.json) | 4 of 4 limits kept | 2 cores |",
    ]
    assert len([line for line in lines if "2026-01-02" in line]) == 2


@pytest.mark.parametrize("name", ["", "A", "a/b", "../a", "a b", "-a", "a" * 42])
def test_a_result_has_a_name_that_fits_a_file(name: str) -> None:
    with pytest.raises(InvalidInput, match="--keep"):
        results.checked(name)


def test_the_machine_is_described_in_words_that_name_nobody() -> None:
    described = machine.describe(awake=True)
    text = machine.words(described)
    assert "kept awake" in text
    assert "sleep when idle" in machine.words(machine.describe(awake=False))
    assert str(described["cpu"]) in text
    assert "/" not in text
    assert platform.node() not in text.split()


def test_cpu_seconds_grow_with_work_and_end_with_the_process() -> None:
    own = os.getpid()
    before = machine.cpu_s([own])
    while machine.cpu_s([own]) < before + 0.05:
        sum(range(10_000))
    assert machine.cpu_s([own], children=True) >= machine.cpu_s([own])
    assert machine.cpu_s([2**22 + 1]) == 0.0
    assert machine.resident_mb(own) > 10.0


def test_private_memory_is_that_of_the_largest_of_a_process_and_its_children() -> None:
    hold = "import sys; held = b'x' * {}; print('held', flush=True); sys.stdin.read()"
    child = f"subprocess.run([sys.executable, '-c', {hold.format(150_000_000)!r}])"
    bear = f"import subprocess, sys; held = b'x' * 60_000_000; {child}"
    for code, most in ((hold.format(60_000_000), 60), (bear, 150)):
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as parent:
            assert parent.stdout is not None
            assert parent.stdout.readline() == "held\n"
            assert machine.private_mb(parent.pid) == pytest.approx(most + 10, abs=10)
            parent.communicate()


class Nothing:
    """A host of nothing, for suites that start nothing."""

    def platform(self, serving: int) -> AbstractAsyncContextManager[Site]:
        raise AssertionError(f"nobody asked for a platform of {serving}")

    def redis(self) -> AbstractAsyncContextManager[str]:
        raise AssertionError("nobody asked for a server")


async def test_suites_are_reported_in_one_table_with_each_verdict() -> None:
    async def measure(_: Run) -> Finding:
        return Finding(figures={"ready_s": 7.0, "resident_mb": 200.0}, details={}, text="own table")

    limits = (
        Limit(figure="ready_s", at_most=5, unit="s"),
        Limit(figure="resident_mb", at_most=400, unit="MB"),
    )
    suite = Suite(name="start", description="A start", limits=limits, measure=measure)
    run = Run(Nothing(), Settings(clients=1), print)
    measured = [(suite, *await suite.run(run))]
    console = Console(width=120, record=True, file=io.StringIO())
    report.show_suites(console, measured)
    lines = console.export_text().splitlines()
    assert any("own table" in line for line in lines)
    words = [line.replace("│", " ").split() for line in lines]
    assert ["start", "ready", "7", "s", "<=", "5", "s", "miss"] in words
    assert ["start", "resident", "200", "MB", "<=", "400", "MB", "pass"] in words
