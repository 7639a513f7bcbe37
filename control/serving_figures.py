"""Latency and errors of serving, over time and as a distribution."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from control.analysis import Asked
from control.analysis_views import Interval
from control.filters import grained
from pullarm.domain.analysis import ServingCounts
from pullarm.domain.experiment import POLICY_NAMES
from pullarm.domain.rollup import Grain
from pullarm.statistics.sketch import LatencySketch, upper_ms
from pullarm.storage.postgres.latency import PostgresLatency

_ALLOWED_ABOVE = 0.05  # the SLA is of the 95th percentile


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyFigures:
    """How serving did."""

    calls: int
    errors: int
    """Answers that were not OK, and fallbacks because of a fault."""
    error_rate: float | None
    over_100ms: int
    over_120ms: int
    p50_ms: float | None
    """Within 1 %, as are the others."""
    p95_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyPoint(LatencyFigures):
    """One bucket of time."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyBin:
    """Answers that took up to so long, and longer than the bin before."""

    upto_ms: float
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyLatency(LatencyFigures):
    """One policy over the whole time; `none` for users outside the experiment."""

    p95_interval_ms: Interval | None
    """95 %, taking calls as independent."""
    keeps_sla: bool | None
    """At most 5 % above 120 ms; None without calls."""
    distribution: tuple[LatencyBin, ...]
    points: tuple[LatencyPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyView:
    """Latency and errors of Select, as serving measured them."""

    experiment: str
    since: datetime
    until: datetime
    as_of: datetime
    grain: str
    policies: dict[str, PolicyLatency]


async def latency(
    reader: PostgresLatency, asked: Asked, grain: Grain | None, policy: int | None
) -> LatencyView:
    """By assigned policy; raises InvalidInput where the grain makes too many buckets."""
    span, grain = grained(asked.span, grain)
    policies = list(POLICY_NAMES) if policy is None else [policy]
    by_policy: defaultdict[int, list[ServingCounts]] = defaultdict(list)
    for found in await reader.of(asked.experiment.number, span, grain, policies):
        by_policy[found.policy].append(found)
    return LatencyView(
        experiment=asked.experiment.id,
        since=span.since,
        until=span.until,
        as_of=asked.as_of,
        grain=grain,
        policies={POLICY_NAMES[number]: _policy(found) for number, found in by_policy.items()},
    )


def _policy(found: Sequence[ServingCounts]) -> PolicyLatency:
    counts: Counter[int] = Counter()
    for each in found:
        counts.update(each.sketch)
    calls, over = sum(each.calls for each in found), sum(each.over_120ms for each in found)
    return PolicyLatency(
        **_figures(found, counts),
        p95_interval_ms=LatencySketch(counts).interval(0.95),
        keeps_sla=over <= calls * _ALLOWED_ABOVE if calls else None,
        distribution=tuple(
            LatencyBin(upto_ms=round(upper_ms(bucket), 6), calls=counts[bucket])
            for bucket in sorted(counts)
        ),
        points=tuple(
            LatencyPoint(at=each.begins_at, **_figures([each], each.sketch)) for each in found
        ),
    )


def _figures(found: Sequence[ServingCounts], counts: Mapping[int, int]) -> dict[str, Any]:
    """The fields of LatencyFigures."""
    sketch = LatencySketch(counts)
    calls, errors = sum(each.calls for each in found), sum(each.errors for each in found)
    return {
        "calls": calls,
        "errors": errors,
        "error_rate": errors / calls if calls else None,
        "over_100ms": sum(each.over_100ms for each in found),
        "over_120ms": sum(each.over_120ms for each in found),
        "p50_ms": sketch.quantile(0.5),
        "p95_ms": sketch.quantile(0.95),
        "p99_ms": sketch.quantile(0.99),
    }
