"""How long after its acknowledgement a reward is in the snapshot that requests are answered from.

Beside a load there are probes: a decision over an arm that nobody else is offered, and its reward. A refresher of our
own follows the board as the one of every serving process does; the k-th probe is seen once the snapshot has k rewards
of that arm.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks import site, traffic
from benchmarks.compare import Comparer, Plan, Report, Side, grouped
from benchmarks.figures import Figures
from benchmarks.site import Site
from benchmarks.sla import Limit
from benchmarks.traffic import Traffic
from pullarm.client import Client
from pullarm.domain.assignment import MICRO
from pullarm.domain.publication import Head, Published
from pullarm.policies.posterior import Posterior
from pullarm.policies.warm import warm_up
from pullarm.storage.redis import RedisBoard, connect
from serving.refresher import Refresher

EVENTS_PER_S = 1_000.0
"""Decisions and rewards, the probes' among them."""
REWARDS_PER_S = 490.0
"""A little less than half: else, by chance, a reward would at some time find no decision that is not rewarded yet."""
PROBES_PER_S = 25.0
ARMS = 1_000
CANDIDATES = 10
PROBE = "probe"
"""The arm behind all others."""
LIMITS = (
    Limit(figure="p95_ms", at_most=500, unit="ms"),
    Limit(figure="events_per_s", at_least=0.95 * EVENTS_PER_S, unit="/s"),
    Limit(figure="unseen", at_most=0),
    Limit(figure="errors", at_most=0),
)
_LOOK_S = 0.002
_SEEN_WITHIN_S = 30.0
_WARM_UP_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """From acknowledged rewards to the snapshot, in milliseconds."""

    p50_ms: float | None
    p95_ms: float | None
    max_ms: float | None
    probes: int
    unseen: int
    """Probes whose reward was in no snapshot within _SEEN_WITHIN_S of the load's end."""
    events_per_s: float
    """Acknowledged, the probes' included."""
    errors_by_status: dict[str, int]
    """Calls of the load that failed."""

    def as_json(self) -> dict[str, Any]:
        """The fields, and how many errors there are."""
        return {**asdict(self), "errors": sum(self.errors_by_status.values())}

    def figures(self) -> dict[str, float | None]:
        """The numbers of it."""
        return {name: one for name, one in self.as_json().items() if name != "errors_by_status"}

    def table(self) -> str:
        """The figures as text."""
        lines = [self._latency()]
        lines += [f"{n:,} calls failed with {name}" for name, n in self.errors_by_status.items()]
        return "\n".join(lines)

    def _latency(self) -> str:
        if self.p50_ms is None or self.p95_ms is None or self.max_ms is None:
            return f"no probe was seen at {self.events_per_s:,.0f} events/s"
        return (
            f"reward to snapshot at {self.events_per_s:,.0f} events/s: p50 {self.p50_ms:.0f} ms, "
            f"p95 {self.p95_ms:.0f} ms, max {self.max_ms:.0f} ms, of {self.probes:,} probes"
        )


class _NotingBoard(RedisBoard):
    """A board that notes how many rewards of the probes' arm there were whenever it was read."""

    rewarded: tuple[int, int] = (0, 0)
    """The version that was read last, and its number of rewards."""

    async def read(self, number: int, have: Head | None) -> Published | None:
        """As any board; only one experiment is read here."""
        published = await super().read(number, have)
        if published is not None:
            found = map(Posterior.from_bytes, published.posteriors.values())
            rewards = sum(int(one.rewards_micro[ARMS]) for one in found)
            self.rewarded = published.head.pub_no, rewards // MICRO
        return published


async def measure(
    platform: Site, comparer: Comparer, serving: int, seconds: float, seed: int, report: Report
) -> Freshness:
    """Load a platform that nobody else uses and follow what its worker publishes."""
    report("starting an experiment")
    experiment = await platform.launch("freshness", [*traffic.arm_names(ARMS), PROBE])
    await site.seen(platform.address, experiment)
    await asyncio.to_thread(warm_up)
    asked = Traffic(mode="mix", experiments=(experiment,), arms=ARMS, candidates=CANDIDATES)
    plan = Plan(
        traffic=asked,
        rate=EVENTS_PER_S - REWARDS_PER_S - PROBES_PER_S,
        reward_rate=REWARDS_PER_S - PROBES_PER_S,
        duration_s=seconds,
        warm_up_s=_WARM_UP_S,
        seed=seed,
    )
    side = Side(name="ours", address=platform.address, pids=lambda: grouped(platform.pids))
    acknowledged: list[float] = []
    seen: list[float] = []
    more = asyncio.Event()
    async with connect(platform.environment["REDIS_URL"]) as redis:
        board = _NotingBoard(redis)
        refresher = Refresher(board)
        following = _follow(refresher, board, experiment, seen, more)
        async with _beside(refresher.run()), _beside(following):
            async with _beside(_probe(platform.address, experiment, seed, acknowledged)):
                report(f"{EVENTS_PER_S:,.0f} events/s for {seconds:g} s")
                measured = await comparer.slice(side, plan, 0, serving, slices=1)
                ended = time.perf_counter()
            with suppress(TimeoutError):
                async with asyncio.timeout(_SEEN_WITHIN_S):
                    while len(seen) < len(acknowledged):
                        more.clear()
                        await more.wait()
    load = Figures(slices=[measured])
    busy_s = max(outcome.busy_s for outcome in measured.outcomes)
    took_ms, unseen = delays_ms(acknowledged, seen, since=ended - busy_s)
    probes = len(took_ms) + unseen
    p50, p95, most = np.percentile(took_ms, [50, 95, 100]).tolist() if took_ms else [None] * 3
    return Freshness(
        p50_ms=p50,
        p95_ms=p95,
        max_ms=most,
        probes=probes,
        unseen=unseen,
        events_per_s=load.rate + 2 * probes / busy_s,
        errors_by_status=dict(load.errors),
    )


def delays_ms(
    acknowledged: Sequence[float], seen: Sequence[float], *, since: float
) -> tuple[list[float], int]:
    """Milliseconds from the k-th acknowledgement to the k-th being seen, and how many never were.

    Both are times of perf_counter's; only what was acknowledged from `since` on counts. What is seen before its
    acknowledgement has got here took no time.
    """
    took = [
        max(0.0, there - here) * 1_000
        for here, there in zip(acknowledged, seen, strict=False)
        if here >= since
    ]
    return took, sum(here >= since for here in acknowledged[len(seen) :])


async def _probe(address: str, experiment: str, seed: int, acknowledged: list[float]) -> None:
    """Probe for ever, at moments of their own: an even pace could keep step with the publisher's."""
    rng = np.random.default_rng([seed, 4])
    async with Client(address, timeout_s=10) as client:
        while True:
            await asyncio.sleep(rng.exponential(1 / PROBES_PER_S))
            user = f"user-{rng.integers(traffic.USERS)}"
            decision = await client.select(experiment, user, [PROBE])
            await client.reward(decision.decision_id, 1.0)
            acknowledged.append(time.perf_counter())


async def _follow(
    refresher: Refresher,
    board: _NotingBoard,
    experiment: str,
    seen: list[float],
    more: asyncio.Event,
) -> None:
    """Note when each reward is in the refresher's snapshot; `more` is set with each."""
    while True:
        await asyncio.sleep(_LOOK_S)
        served = refresher.snapshot.by_reference.get(experiment.encode())
        pub_no, rewards = board.rewarded
        # What is read is not yet what is served: kernels' tables are made in between.
        if served is not None and served.head.pub_no == pub_no and rewards > len(seen):
            seen += [time.perf_counter()] * (rewards - len(seen))
            more.set()


@asynccontextmanager
async def _beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run this while the block lasts; what it failed with is raised at the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()
