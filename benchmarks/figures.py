"""What a load came to, ours beside the echo's."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks import wire
from benchmarks.generator import Outcome
from benchmarks.histogram import Histogram

PERCENTILES = {"p50_ms": 50.0, "p95_ms": 95.0, "p99_ms": 99.0, "p999_ms": 99.9}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One stretch of load on one side."""

    outcomes: Sequence[Outcome]
    """Of every generator."""
    duration_s: float
    cpu_s: Mapping[str, float]
    """CPU seconds during the duration, by process; `serving` is all serving processes together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All slices of one side."""

    slices: Sequence[Slice]
    decisions_a_call: int = 1
    latency: Histogram = field(init=False)
    statuses: Counter[str] = field(init=False)

    def __post_init__(self) -> None:
        outcomes = self._outcomes()
        merged = Histogram.merged(shard for each in outcomes for shard in each.latency.values())
        statuses = sum((s for each in outcomes for s in each.statuses.values()), Counter[str]())
        object.__setattr__(self, "latency", merged)
        object.__setattr__(self, "statuses", statuses)

    @property
    def rate(self) -> float:
        """Calls answered with OK a second: until the last answer where answers came later than they were due."""
        busy_s = sum(max((o.busy_s for o in each.outcomes), default=0.0) for each in self.slices)
        return self.statuses[wire.OK] / busy_s if busy_s else 0.0

    @property
    def errors(self) -> Counter[str]:
        """Calls that failed, by status."""
        return Counter({name: n for name, n in self.statuses.items() if name != wire.OK})

    @property
    def reasons(self) -> Counter[str]:
        """Why decisions came out as they did."""
        return sum((each.reasons for each in self._outcomes()), Counter[str]())

    def cpu_us(self, process: str) -> float | None:
        """Microseconds of CPU a call; None where they are not known."""
        calls = self.statuses.total()
        if not calls or not all(process in each.cpu_s for each in self.slices):
            return None
        return sum(each.cpu_s[process] for each in self.slices) / calls * 1e6

    def as_json(self) -> dict[str, Any]:
        """The figures by name; times in milliseconds, rates a second, CPU in microseconds a call."""
        processes = sorted({name for each in self.slices for name in each.cpu_s} - {"serving"})
        lag = Histogram.merged(each.lag for each in self._outcomes())
        return {
            "rate": self.rate,
            "decisions_per_s": self.rate * self.decisions_a_call,
            **percentiles(self.latency),
            "calls": self.statuses.total(),
            "errors": self.errors.total(),
            "errors_by_status": dict(self.errors),
            "reasons": dict(self.reasons),
            "cpu_us_per_request": self.cpu_us("serving"),
            "other_cpu_us_per_request": {name: self.cpu_us(name) for name in processes},
            "generator_lag_p50_ms": lag.percentile_ms(50),
            "generator_lag_p99_ms": lag.percentile_ms(99),
            "methods": {name: percentiles(latency) for name, latency in self.methods().items()},
            "histogram": self.latency.encoded(),
        }

    def methods(self) -> dict[str, Histogram]:
        """Latencies by the contract's method."""
        names = dict.fromkeys(name for each in self._outcomes() for name in each.latency)
        return {
            name: Histogram.merged(
                each.latency[name] for each in self._outcomes() if name in each.latency
            )
            for name in names
        }

    def _outcomes(self) -> list[Outcome]:
        return [outcome for each in self.slices for outcome in each.outcomes]


def percentiles(latency: Histogram) -> dict[str, float | None]:
    """Those that are reported, and the maximum; None without values."""
    named = {name: latency.percentile_ms(percent) for name, percent in PERCENTILES.items()}
    return {**named, "max_ms": latency.max_ms}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Ours, and the echo measured in turn with it; None where there is none."""

    ours: Figures
    echo: Figures | None

    def ratio(self) -> dict[str, float | None]:
        """Ours over the echo's."""
        mine = self.ours.as_json()
        other = self.echo.as_json() if self.echo is not None else {}
        names = {
            "throughput": "rate",
            "p50": "p50_ms",
            "p95": "p95_ms",
            "p99": "p99_ms",
            "server_cpu": "cpu_us_per_request",
        }
        return {name: _over(mine[key], other.get(key)) for name, key in names.items()}

    def as_json(self) -> dict[str, Any]:
        """Both sides and their ratio."""
        return {
            "ours": self.ours.as_json(),
            "echo": None if self.echo is None else self.echo.as_json(),
            "ratio": self.ratio(),
        }


def _over(ours: float | None, echo: float | None) -> float | None:
    return ours / echo if ours is not None and echo else None
