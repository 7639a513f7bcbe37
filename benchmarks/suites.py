"""What the project promises, as suites: each measures its figures and compares them with their limits."""

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from benchmarks import (
    analytics,
    estimators,
    fold,
    freshness,
    kernel,
    refresh,
    replaying,
    sla,
    startup,
    traffic,
)
from benchmarks.compare import Comparer, Plan, Report, Result
from benchmarks.fleet import Fleet
from benchmarks.site import Host, Site, seen
from benchmarks.sla import Check, Limit
from benchmarks.traffic import Traffic

ARMS = 1_000
HISTORY = 10_000_000
"""Decisions that analytics are measured over."""
EXPERIMENT = "bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a run measures."""

    clients: int
    serving: int = 1
    duration_s: float | None = None
    """On each side of a comparison; None: each suite's own."""
    seed: int = 1
    history: int = HISTORY


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a suite measured."""

    figures: Mapping[str, float | None]
    echo: Mapping[str, float | None] = field(default_factory=dict)
    details: Any
    """All of it, for JSON."""
    text: str = ""
    """A table of its own."""


class Run:
    """One run: `async with Run(host, settings, report) as run:`; platforms start when a suite first asks for them."""

    def __init__(self, host: Host, settings: Settings, report: Report) -> None:
        self.host, self.settings, self.report = host, settings, report
        self._fleet = Fleet(settings.clients)
        self.comparer = Comparer(self._fleet, report)
        self._site: tuple[int, Site] | None = None
        self._platform_stack = AsyncExitStack()
        self._launched = 0

    async def __aenter__(self) -> Self:
        self._fleet.__enter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.close_platform()
        finally:
            self._fleet.__exit__(kind, error, trace)

    async def compare(self, plan: Plan, *, serving: int | None = None) -> Result:
        """Measure a plan on an experiment of its own, beside the echo."""
        count = serving or self.settings.serving
        site = await self._platform(count)
        self._launched += 1
        self.report("starting an experiment")
        names = traffic.arm_names(plan.traffic.arms)
        experiment = await site.launch(f"{EXPERIMENT} {self._launched}", names)
        await seen(site.address, experiment)
        asked = replace(plan.traffic, experiments=(experiment,))
        return await self.comparer.compare(site, count, replace(plan, traffic=asked))

    async def _platform(self, serving: int) -> Site:
        """One platform at a time, so that nothing else runs beside it."""
        if self._site is None or self._site[0] != serving:
            await self.close_platform()
            self.report("starting the platform")
            opened = await self._platform_stack.enter_async_context(self.host.platform(serving))
            self._site = serving, opened
        return self._site[1]

    async def close_platform(self) -> None:
        """Stop the platform, where one runs: the next measurement wants the machine for itself."""
        self._site = None
        await self._platform_stack.aclose()


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One entry of the registry."""

    name: str
    description: str
    limits: tuple[Limit, ...]
    measure: Callable[[Run], Awaitable[Finding]]

    async def run(self, run: Run) -> tuple[Finding, list[Check]]:
        """Measure and compare with the limits."""
        found = await self.measure(run)
        return found, sla.checks(self.limits, found.figures, found.echo, suite=self.name)


def compared(result: Result, text: str = "") -> Finding:
    """A comparison's figures by name: ours, and the ratios as `NAME / echo`."""
    details = result.as_json()
    ours, echo = result.comparison.ours.as_json(), result.comparison.echo
    ratio = {f"{name} / echo": value for name, value in result.comparison.ratio().items()}
    undecided = {name: n for name, n in ours["reasons"].items() if name != "ASSIGNED"}
    return Finding(
        figures={**ours, **ratio, "answers without a policy": float(sum(undecided.values()))},
        echo={} if echo is None else echo.as_json(),
        details=details,
        text=text,
    )


def _plan(
    run: Run,
    mode: str,
    duration_s: float,
    *,
    candidates: int,
    rate: float = 0.0,
    reward_rate: float = 0.0,
) -> Plan:
    return Plan(
        traffic=Traffic(mode=mode, experiments=(), arms=ARMS, candidates=candidates),
        rate=rate,
        reward_rate=reward_rate,
        duration_s=run.settings.duration_s or duration_s,
        seed=run.settings.seed,
    )


def _select(candidates: int) -> Callable[[Run], Awaitable[Finding]]:
    async def measure(run: Run) -> Finding:
        return compared(await run.compare(_plan(run, "select", 8.0, candidates=candidates)))

    return measure


async def _mix(run: Run) -> Finding:
    plan = _plan(run, "mix", 20.0, candidates=100, rate=1_000.0, reward_rate=200.0)
    return compared(await run.compare(plan))


async def _batch(run: Run) -> Finding:
    return compared(await run.compare(_plan(run, "batch", 6.0, candidates=10), serving=1))


async def _kernel(run: Run) -> Finding:
    await run.close_platform()
    run.report("timing the kernel")
    timings = await _apart(kernel.measure, rounds=20, seed=run.settings.seed)
    details = [timing.as_dict() for timing in timings]
    figures = {
        f"{size['candidates']:,} of {size['arms']:,} arms: {name}": value
        for size in details
        for name, value in size.items()
    }
    return Finding(figures=figures, details=details, text=kernel.table(timings))


async def _startup(run: Run) -> Finding:
    await run.close_platform()
    async with run.host.platform(1) as site:
        started = await startup.measure(site, run.report)
    return Finding(figures=started.figures(), details=started.figures())


async def _refresh(run: Run) -> Finding:
    await run.close_platform()
    found = []
    for changing in (1, refresh.EXPERIMENTS):
        run.report(f"refreshing while posteriors of {changing} experiments change")
        seconds = run.settings.duration_s or 10.0
        async with run.host.redis() as address:
            found.append(await _apart(refresh.measure, address, changing=changing, seconds=seconds))
    one, _ = found
    return Finding(
        figures={"p99 beyond idle_ms": one.p99_ms - one.idle_p99_ms},
        details={f"{stalls.changing} changing": stalls.as_dict() for stalls in found},
        text=refresh.table(found),
    )


async def _fold(run: Run) -> Finding:
    await run.close_platform()
    count = round(fold.PER_S * min(run.settings.duration_s or 40.0, fold.LONGEST_S))
    async with run.host.platform(1) as site:
        folded = await fold.measure(site, count, run.settings.seed, run.report)
    return Finding(figures=folded.figures(), details=folded.figures(), text=folded.table())


async def _freshness(run: Run) -> Finding:
    await run.close_platform()
    serving, seconds = run.settings.serving, run.settings.duration_s or 20.0
    async with run.host.platform(serving) as site:
        fresh = await freshness.measure(
            site, run.comparer, serving, seconds, run.settings.seed, run.report
        )
    return Finding(figures=fresh.figures(), details=fresh.as_json(), text=fresh.table())


async def _analytics(run: Run) -> Finding:
    await run.close_platform()
    async with run.host.platform(1) as site:
        measured = await analytics.measure(site, run.settings.history, run.report)
    return Finding(figures=measured.figures(), details=measured.as_json(), text=measured.table())


async def _apart(work: Callable[..., Any], *args: object, **named: object) -> Any:
    """Run a measurement in a process that does nothing else."""
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawning) as pool:
        return await asyncio.wrap_future(pool.submit(work, *args, **named))


async def _estimators(run: Run) -> Finding:
    await run.close_platform()
    run.report(f"estimating from {estimators.ROWS:,} rows")
    found = await _apart(estimators.measure, seed=run.settings.seed)
    return Finding(figures=found, details=found)


async def _replay(run: Run) -> Finding:
    await run.close_platform()
    run.report(f"replaying {len(replaying.POLICIES)} policies, {replaying.RUNS} runs each")
    found = await _apart(replaying.measure, seed=run.settings.seed)
    return Finding(figures=found, details=found)


_SOUND = (Limit(figure="errors", at_most=0), Limit(figure="answers without a policy", at_most=0))

SUITES: Sequence[Suite] = (
    Suite(
        name="select-10",
        description="Acknowledged Select as fast as it goes: 10 candidates of 1,000 arms, the fold running",
        limits=(
            Limit(figure="server_cpu / echo", at_most=1.3),
            Limit(figure="throughput / echo", at_least=0.68),
            *_SOUND,
        ),
        measure=_select(10),
    ),
    Suite(
        name="select-100",
        description="The same with 100 candidates",
        limits=(
            Limit(figure="server_cpu / echo", at_most=1.5),
            Limit(figure="throughput / echo", at_least=0.6),
            *_SOUND,
        ),
        measure=_select(100),
    ),
    Suite(
        name="mix",
        description="1,000 Select/s and 200 Reward/s, open loop, 100 candidates of 1,000 arms",
        limits=(
            Limit(figure="p95_ms", at_most=5, times_echo=1.5, unit="ms"),
            Limit(figure="p99_ms", at_most=10, times_echo=1.5, unit="ms"),
            *_SOUND,
        ),
        measure=_mix,
    ),
    Suite(
        name="batch",
        description="SelectBatch of 100 requests, 10 candidates each, to one serving process",
        limits=(Limit(figure="decisions_per_s", at_least=25_000, unit="/s"), *_SOUND),
        measure=_batch,
    ),
    Suite(
        name="kernel",
        description="A decision's arithmetic alone, beside numpy's sampling",
        limits=(
            Limit(figure="100 of 1,000 arms: weights_us", at_most=40, unit="us"),
            Limit(figure="1,000 of 1,000 arms: catalogue_us", at_most=2, unit="us"),
        ),
        measure=_kernel,
    ),
    Suite(
        name="startup",
        description="A serving process with 20 experiments of 1,000 arms, caches warm",
        limits=startup.LIMITS,
        measure=_startup,
    ),
    Suite(
        name="refresh",
        description="How long a refresh of 100 changed arms holds a request up",
        limits=(Limit(figure="p99 beyond idle_ms", at_most=1, unit="ms"),),
        measure=_refresh,
    ),
    Suite(
        name="fold",
        description="One worker folds and publishes a full stream: decisions, and rewards of a tenth of them",
        limits=fold.LIMITS,
        measure=_fold,
    ),
    Suite(
        name="freshness",
        description="From an acknowledged reward to the snapshot that answers, at 1,000 events/s",
        limits=freshness.LIMITS,
        measure=_freshness,
    ),
    Suite(
        name="analytics",
        description="The control plane over two weeks of history, and a CSV export of a million events of it",
        limits=analytics.LIMITS,
        measure=_analytics,
    ),
    Suite(
        name="estimators",
        description="Every off-policy estimator over 10 million rows, and the report",
        limits=estimators.LIMITS,
        measure=_estimators,
    ),
    Suite(
        name="replay",
        description="Four policies x 20 runs in the truth way on all cores, and a million events by rejection",
        limits=replaying.LIMITS,
        measure=_replay,
    ),
)
"""All of them, in the order in which they run."""
