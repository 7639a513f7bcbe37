"""The counters that guardrails are judged by, as stored."""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from pullarm.domain.assignment import BUCKETS, MICRO
from pullarm.domain.experiment import POLICY_NAMES, POLICY_NUMBERS, Experiment, State
from pullarm.statistics.guardrails.readings import HOUR_S, PERIOD_S, Arms, Draws, Hour, Readings
from pullarm.statistics.ratio import Sums
from pullarm.statistics.sketch import LatencySketch, bucket_of
from pullarm.storage.postgres.database import Connection, queries
from pullarm.storage.postgres.times import ms

_SQL = queries("guardrails")
_MINUTE_MS = 60_000
_HOUR_MINUTES = 60
_HOURS = PERIOD_S // HOUR_S
LATE_HOURS = 6
"""How long serving's figures of an hour may change; what comes later is not guarded any more."""
_KNOWN = ("calls", "errors", "worst_errors", "over_warning", "worst_over_warning", "over_limit")
_ALSO = ("worst_over_limit", "rewards", "refused", "worst_refused")


class Epoch(NamedTuple):
    """A guard epoch of an experiment."""

    number: int
    from_minute: int
    """Its first whole one, since 1970."""

    def age_s(self, now_ms: int) -> float:
        """Since it began."""
        return now_ms / 1000 - self.from_minute * 60

    def hour(self, now_ms: int) -> int:
        """Which one it is in, from 0."""
        return (now_ms // _MINUTE_MS - self.from_minute) // _HOUR_MINUTES


async def read(
    connection: Connection, experiment: Experiment, epoch: Epoch, now_ms: int
) -> Readings:
    """All that checks need; serving's minutes are put together to hours first."""
    number = experiment.number
    shares = _shares(experiment)
    policies = [POLICY_NUMBERS[policy] for policy in shares]
    await _put_together(connection, experiment, epoch, policies, now_ms)
    until = now_ms // _MINUTE_MS
    heard = await connection.fetchval(
        _SQL["last_heard"], number, policies, epoch.from_minute, until
    )
    behind_since = await connection.fetchval(_SQL["behind_since"], number)
    return Readings(
        age_s=epoch.age_s(now_ms),
        shares=shares,
        hours=await _hours(connection, number, epoch, policies, now_ms),
        sums=await read_sums(connection, number, epoch, epoch.age_s(now_ms)),
        users=await _first_exposures(connection, experiment),
        arms=await _arms(connection, number, epoch, now_ms),
        draws=await _draws(connection, experiment, epoch, now_ms),
        silent_s=None if heard is None else max(now_ms / 1000 - (heard + 1) * 60, 0.0),
        behind_s=max((now_ms - ms(behind_since)) / 1000, 0.0) if behind_since else 0.0,
    )


async def read_sums(
    connection: Connection, number: int, epoch: Epoch, age_s: float
) -> dict[str, dict[int, Sums]]:
    """Sums over users since each start, as far as they came, of the period that is at this age of the epoch."""
    rows = await connection.fetch(_SQL["sums"], number, epoch.number, int(age_s // PERIOD_S))
    found: defaultdict[str, dict[int, Sums]] = defaultdict(dict)
    for row in rows:
        whole = {name: int(row[name]) for name in ("n", "m", "c", "mm", "cc", "mc")}
        found[POLICY_NAMES[row["policy"]]][row["place"]] = Sums(**whole)
    return dict(found)


async def _first_exposures(connection: Connection, experiment: Experiment) -> dict[str, int]:
    rows = await connection.fetch(
        _SQL["first_exposures"], experiment.number, experiment.allocation_epoch
    )
    return {POLICY_NAMES[row["policy"]]: row["fresh"] for row in rows}


def _shares(experiment: Experiment) -> dict[str, float]:
    """Of the units, by policy; once one is shipped all have that."""
    spec = experiment.spec
    if experiment.state is State.SHIPPED:
        return {spec.default_policy: 1.0}
    told = {
        policy.name: experiment.buckets.count(POLICY_NUMBERS[policy.name]) / BUCKETS
        for policy in spec.policies
    }
    return {policy: share for policy, share in told.items() if share}


async def _put_together(
    connection: Connection, experiment: Experiment, epoch: Epoch, policies: list[int], now_ms: int
) -> None:
    latency = experiment.spec.guardrails.latency_p95
    of = experiment.number, epoch.number
    thresholds = latency.warning, latency.limit
    last = await connection.fetchval(_SQL["last_hour"], *of, *thresholds)
    first = epoch.hour(now_ms) // _HOURS * _HOURS
    if last is not None:
        first = max(first, last - LATE_HOURS)
    await connection.execute(
        _SQL["add_hours"],
        *of,
        policies,
        epoch.from_minute,
        epoch.from_minute + first * _HOUR_MINUTES,
        now_ms // _MINUTE_MS,
        *thresholds,
        *map(bucket_of, thresholds),
    )


async def _hours(
    connection: Connection, number: int, epoch: Epoch, policies: list[int], now_ms: int
) -> dict[str, dict[int, Hour]]:
    newest = epoch.hour(now_ms)
    first = newest // _HOURS * _HOURS
    rows = await connection.fetch(_SQL["hours"], number, epoch.number, first, newest)
    slowest = await _p95(connection, number, policies, now_ms)
    found: defaultdict[str, dict[int, Hour]] = defaultdict(dict)
    for row in rows:
        policy, place = POLICY_NAMES[row["policy"]], row["place"]
        found[policy][place] = Hour(
            **{name: row[name] for name in (*_KNOWN, *_ALSO)},
            p95_ms=slowest.get(policy) if place == newest - first else None,
        )
    return dict(found)


async def _p95(
    connection: Connection, number: int, policies: list[int], now_ms: int
) -> Mapping[str, float | None]:
    """Of the last 60 minutes."""
    minute = now_ms // _MINUTE_MS
    rows = await connection.fetch(
        _SQL["latencies"], number, policies, minute - _HOUR_MINUTES, minute
    )
    counts: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for row in rows:
        counts[POLICY_NAMES[row["policy"]]][row["bucket"]] = row["n"]
    return {policy: LatencySketch(told).quantile(0.95) for policy, told in counts.items()}


async def _arms(connection: Connection, number: int, epoch: Epoch, now_ms: int) -> dict[str, Arms]:
    since = max(now_ms // (HOUR_S * 1000) - 24, epoch.from_minute // _HOUR_MINUTES)
    serves: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for row in await connection.fetch(_SQL["arms"], number, since):
        serves[row["policy"]][row["arm_no"]] = row["serves"]
    posterior: defaultdict[int, dict[int, tuple[int, int]]] = defaultdict(dict)
    for row in await connection.fetch(_SQL["posterior"], number):
        posterior[row["policy"]][row["arm_no"]] = row["n"], row["s"]
    return {
        POLICY_NAMES[policy]: Arms(serves=counts, posterior=posterior[policy])
        for policy, counts in serves.items()
    }


async def _draws(
    connection: Connection, experiment: Experiment, epoch: Epoch, now_ms: int
) -> dict[str, Draws]:
    """Of the policies that give every candidate some propensity: of others the mean is not known."""
    period = int(epoch.age_s(now_ms) // PERIOD_S)
    rows = await connection.fetch(_SQL["draws"], experiment.number, epoch.number, period)
    return {
        name: Draws(n=row["n"], x=float(row["x"]) / MICRO, xx=float(row["xx"]) / MICRO**2)
        for row in rows
        if _explores(experiment, name := POLICY_NAMES[row["policy"]])
    }


def _explores(experiment: Experiment, policy: str) -> bool:
    params = experiment.spec.params_of(policy)
    return any(float(params.get(name, 0.0)) > 0.0 for name in ("floor", "epsilon"))
