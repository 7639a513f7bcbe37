"""What the project promises, as suites: each measures its figures and compares them with their limits."""

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from benchmarks import (
    analytics,
    estimators,
    fold,
    freshness,
    kernel,
    pages,
    refresh,
    replaying,
    startup,
)
from benchmarks.compare import Plan
from benchmarks.run import Finding, Run, Suite, compared
from benchmarks.sla import Limit
from benchmarks.traffic import Traffic

ARMS = 1_000


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
    site, past = await run.past()
    measured = await analytics.measure(site, past, run.report)
    return Finding(figures=measured.figures(), details=measured.as_json(), text=measured.table())


async def _pages(run: Run) -> Finding:
    site, past = await run.past()
    measured = await pages.measure(site.http_url, site.token, past, run.report)
    return Finding(figures=measured.figures(), details=measured.as_json(), text=measured.table())


async def _apart(work: Callable[..., Any], *args: object, **named: object) -> Any:
    """Run a measurement in a process that does nothing else."""
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawning) as pool:
        return await asyncio.wrap_future(pool.submit(work, *args, **named))


async def _replay(run: Run) -> Finding:
    await run.close_platform()
    run.report(f"replaying {len(replaying.POLICIES)} policies, {replaying.RUNS} runs each")
    replayed = await _apart(replaying.measure, seed=run.settings.seed)
    run.report(f"estimating from {estimators.ROWS:,} rows")
    estimated = await _apart(estimators.measure, seed=run.settings.seed)
    found = replayed | estimated
    return Finding(figures=found, details=found, text=replaying.table(found))


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
        name="pages",
        description="The dashboard in a real browser with nothing in its cache, over two weeks of history",
        limits=pages.LIMITS,
        measure=_pages,
    ),
    Suite(
        name="replay",
        description="Ratings of ml-1m's size: loaded, four policies x 20 runs in the truth way on all cores, a million "
        "events by rejection; every off-policy estimator over 10 million rows",
        limits=(*replaying.LIMITS, *estimators.LIMITS),
        measure=_replay,
    ),
)
"""All of them, in the order in which they run."""
