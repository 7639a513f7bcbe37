"""How much of everything a load takes, by arithmetic on what kept runs of `pullarm bench` measured."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from pullarm.domain.errors import ConfigurationError
from pullarm.storage.redis.events import MAX_BACKLOG_BYTES

KEPT = (
    "2026-11-22-off-the-wire.json",
    "2026-11-22-units.json",
    "2026-11-22-completion-queue.json",
)
"""Runs in benchmarks/results that hold all that is asked here."""
BUSY = 0.6
"""Of a core, at most: beyond it waiting grows faster than the load (docs/decisions/0028)."""
ARM_BYTES = 2_250
"""Of a serving process, for an arm of one experiment: 20 x 1,000 arms took 45 MB (docs/decisions/0007)."""
MEASURED_ARMS = 20 * 1_000
"""That the suite `startup` has loaded."""
POLICIES = 4
BOARD_BYTES = 16
"""Of Redis for an arm and policy: two int64 (pullarm/storage/redis/keys.py)."""
LARGE_CORES = 32
"""Of a PostgreSQL that is large and not rare."""
DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is to be carried."""

    decisions_per_s: float
    """At the peak; what is stored is counted as if it were so all day."""
    rewards: float
    """For each decision."""
    candidates: int
    batch: int
    """Decisions of one call; rewards come in as large ones."""
    arms: int
    """Of one experiment."""
    experiments: int
    retention_days: int

    @property
    def events_per_s(self) -> float:
        """Decisions and rewards."""
        return self.decisions_per_s * (1 + self.rewards)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Unit costs, of the machine that the runs name. Times are processor time in microseconds."""

    call_us: float
    """Serving, whatever is in a call."""
    decision_us: float
    """Serving, with 10 candidates, in a call."""
    candidate_us: float
    """Serving, each beyond 10; 0 where runs of 100 took no more than those of 10."""
    process_cores: float
    """What a serving process makes use of when it does all it can."""
    lone_call_us: float
    """Serving, a call that shares its wake-ups and its entry with few others."""
    lone_redis_us: float
    """Redis, likewise."""
    lone_per_s: float
    """Up to so many calls of a process do; more take no more than these, until they would at the costs above."""
    redis_call_us: float
    redis_event_us: float
    worker_us: float
    """An event's fold and publication."""
    postgres_us: float
    worker_per_s: float
    """Events that one worker folds."""
    worker_least: float
    """Cores of one that folds a few events at a time, as long as it keeps up (docs/decisions/0028)."""
    postgres_least: float
    """Likewise, for each such worker."""
    waiting_bytes: float
    """Of Redis, an event that is not folded yet."""
    ledger_bytes: float
    """Of PostgreSQL, an event with its indexes and roll-ups."""
    serving_bytes: float
    """A process without arms."""
    sources: tuple[str, ...]
    """Files and machines."""

    @classmethod
    def of(cls, runs: Sequence[Path] = ()) -> Self:
        """From runs, `--json` or kept, where a later one goes before; without any, from those kept here.

        Raises ConfigurationError where they lack a suite or cannot be read.
        """
        details: dict[str, Mapping[str, Any]] = {}
        sources = []
        for run in [*(files("benchmarks") / "results" / name for name in KEPT), *runs]:
            try:
                found = json.loads(run.read_text(encoding="utf-8"))
                details |= {suite["name"]: suite["details"] for suite in found["suites"]}
                machine = found["machine"]
                sources.append(f"{run.name}: {machine['cores']} cores of {machine['cpu']}")
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise ConfigurationError(
                    f"{run}: no run of `pullarm bench --json` ({error!r})"
                ) from error
        try:
            return cls._from(details, tuple(sources))
        except KeyError as error:
            raise ConfigurationError(f"the runs of {', '.join(sources)} lack {error}") from error

    @classmethod
    def _from(cls, details: Mapping[str, Mapping[str, Any]], sources: tuple[str, ...]) -> Self:
        ten, hundred = details["select-10"]["ours"], details["select-100"]["ours"]
        batch, mix, fold = details["batch"]["ours"], details["mix"]["ours"], details["fold"]
        size = batch["decisions_per_s"] / batch["rate"]
        call_us, decision_us = _split(ten["cpu_us_per_request"], batch["cpu_us_per_request"], size)
        redis_call_us, redis_event_us = _split(
            ten["other_cpu_us_per_request"]["valkey"],
            batch["other_cpu_us_per_request"]["valkey"],
            size,
        )
        return cls(
            call_us=call_us,
            decision_us=decision_us,
            candidate_us=max(0.0, hundred["cpu_us_per_request"] - ten["cpu_us_per_request"]) / 90,
            process_cores=ten["rate"] * ten["cpu_us_per_request"] / 1e6,
            lone_call_us=mix["cpu_us_per_request"] - decision_us,
            lone_redis_us=mix["other_cpu_us_per_request"]["valkey"] - redis_event_us,
            lone_per_s=mix["rate"],
            redis_call_us=redis_call_us,
            redis_event_us=redis_event_us,
            worker_us=fold["worker_cpu_us"],
            postgres_us=fold["postgres_cpu_us"],
            worker_per_s=fold["events_per_s"],
            worker_least=mix["rate"] * mix["other_cpu_us_per_request"]["worker"] / 1e6,
            postgres_least=mix["rate"] * mix["other_cpu_us_per_request"]["postgres"] / 1e6,
            waiting_bytes=fold["waiting_bytes_an_event"],
            ledger_bytes=fold["ledger_bytes_an_event"],
            serving_bytes=details["startup"]["resident_mb"] * 1e6 - ARM_BYTES * MEASURED_ARMS,
            sources=sources,
        )


def _split(one: float, many: float, size: float) -> tuple[float, float]:
    """What a call costs, and what each in it: calls of 1 cost `one`, and of `size` cost `many`."""
    each = max(0.0, (many - one) / (size - 1))
    return one - each, each


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a load takes. Cores are of the measured machine, busy by no more than BUSY."""

    serving_processes: int
    serving_cores: float
    serving_bytes: float
    """Of each process."""
    workers: int
    worker_cores: float
    redis_cores: float
    """Of one thread: above 1, one server is not enough."""
    redis_bytes: float
    """With a stream that is full."""
    stream_fills_s: float
    """How long workers may be away before calls go to the spool."""
    postgres_cores: float
    postgres_bytes_a_day: float
    postgres_bytes: float
    first: str
    """Of what there is one of, the part that is nearest to what it can do."""
    first_at: float
    """How near: above 1 it cannot."""


def needed(load: Load, costs: Costs) -> Need:
    """All of it."""
    calls = load.events_per_s / load.batch
    decide_us = costs.decision_us + costs.candidate_us * max(0, load.candidates - 10)
    decided = load.decisions_per_s * (decide_us + load.rewards * costs.decision_us)
    processes = _whole(_cores(calls * costs.call_us + decided) / costs.process_cores)
    lone = min(calls, processes * costs.lone_per_s)
    serving = _cores(max(calls * costs.call_us, lone * costs.lone_call_us) + decided)
    redis = _cores(
        max(calls * costs.redis_call_us, lone * costs.lone_redis_us)
        + load.events_per_s * costs.redis_event_us
    )
    workers = _whole(load.events_per_s / (BUSY * costs.worker_per_s))
    postgres = _cores(load.events_per_s * costs.postgres_us, workers * costs.postgres_least)
    arms = load.arms * load.experiments
    day = load.events_per_s * DAY_S * costs.ledger_bytes
    parts = {
        "Redis, which writes with one thread": redis,
        f"PostgreSQL, on a machine of {LARGE_CORES} cores": postgres / LARGE_CORES,
    }
    return Need(
        serving_processes=processes,
        serving_cores=serving,
        serving_bytes=costs.serving_bytes + ARM_BYTES * arms,
        workers=workers,
        worker_cores=_cores(load.events_per_s * costs.worker_us, workers * costs.worker_least),
        redis_cores=redis,
        redis_bytes=MAX_BACKLOG_BYTES + BOARD_BYTES * POLICIES * arms,
        stream_fills_s=MAX_BACKLOG_BYTES / (load.events_per_s * costs.waiting_bytes),
        postgres_cores=postgres,
        postgres_bytes_a_day=day,
        postgres_bytes=day * load.retention_days,
        first=max(parts, key=lambda name: parts[name]),
        first_at=max(parts.values()),
    )


def _cores(us_a_second: float, least: float = 0.0) -> float:
    return max(us_a_second / 1e6, least) / BUSY


def _whole(number: float) -> int:
    """At least two of each, so that one may end."""
    return max(2, -int(-number // 1))
