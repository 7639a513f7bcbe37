"""How long a refresh holds a request up: stalls of the event loop while many posteriors change.

A process of its own publishes: every tenth of a second some arms of every policy of every experiment change. Here a
refresher follows it on a real event loop, and a task that wants to be woken every two milliseconds notes how much later
it was. In turn with that the same is measured without the refresher: that much is the machine's and the timer's own.
"""

import asyncio
import gc
import multiprocessing
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from multiprocessing.synchronize import Event

import numpy as np

from pullarm import event_loop
from pullarm.domain.assignment import MICRO, allocate
from pullarm.domain.experiment import (
    POLICY_NUMBERS,
    Arm,
    Experiment,
    PolicySpec,
    Spec,
    State,
    policy_weights,
)
from pullarm.domain.publication import Head, PosteriorCell, Publication
from pullarm.policies.draw import KERNEL
from pullarm.policies.grid import Grid
from pullarm.policies.posterior import Posterior
from pullarm.policies.thompson import Thompson
from pullarm.policies.warm import warm_up
from pullarm.storage.redis import RedisBoard, connect
from serving.refresher import Refresher
from serving.server import SWITCH_S

EXPERIMENTS = 20
ARMS = 1_000
CHANGED = 100
"""Arms of each policy that change from one publication to the next."""
EVERY_S = 0.1
_WAKE_S = 0.002
_SETTLE_S = 0.5
_ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Stalls:
    """How much later than asked for the event loop came to a task, in milliseconds."""

    changing: int
    """How many of the experiments changed."""
    p50_ms: float
    p99_ms: float
    max_ms: float
    idle_p99_ms: float
    idle_max_ms: float
    """The same while nothing is refreshed, though as much is published."""
    refreshed: int
    """Publications taken over while it was measured."""
    published: int

    def as_dict(self) -> dict[str, float]:
        """The fields."""
        return asdict(self)


def measure(redis_url: str, *, changing: int, seconds: float = 10.0) -> Stalls:
    """Measure on an empty Redis database that nobody else uses, while so many of the experiments change."""
    warm_up()
    spawning = multiprocessing.get_context("spawn")
    begin, stop = spawning.Event(), spawning.Event()
    asked = (redis_url, changing, begin, stop)
    publisher = spawning.Process(target=_publish, args=asked, daemon=True)
    publisher.start()
    try:
        with _switching(SWITCH_S):
            return event_loop.run(_measured(redis_url, changing, seconds, begin))
    finally:
        stop.set()
        publisher.join(10)
        publisher.kill()


def table(stalls: list[Stalls]) -> str:
    """Measurements as aligned text."""
    heads = ("changing", "p50 ms", "p99 ms", "max ms", "idle p99", "idle max", "taken / published")
    lines = ["".join(head.rjust(18) for head in heads)]
    for one in stalls:
        cells = (
            f"{one.changing}",
            f"{one.p50_ms:.2f}",
            f"{one.p99_ms:.2f}",
            f"{one.max_ms:.2f}",
            f"{one.idle_p99_ms:.2f}",
            f"{one.idle_max_ms:.2f}",
            f"{one.refreshed:,} / {one.published:,}",
        )
        lines.append("".join(cell.rjust(18) for cell in cells))
    lines.append(
        f"{EXPERIMENTS} experiments of {ARMS:,} arms and {len(POLICY_NUMBERS)} policies; "
        f"{CHANGED} arms of those changing do so every {EVERY_S:g} s"
    )
    return "\n".join(lines)


@contextmanager
def _switching(interval_s: float) -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(interval_s)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


async def _measured(redis_url: str, changing: int, seconds: float, begin: Event) -> Stalls:
    late: list[float] = []
    idle: list[float] = []
    async with connect(redis_url) as redis:
        board = RedisBoard(redis)
        loaded = asyncio.Event()
        refresher = Refresher(board, loaded.set)
        async with _refreshing(refresher), asyncio.timeout(60):
            await loaded.wait()
        gc.freeze()  # as the serving process does: else a full collection walks every arm and kernel
        begin.set()
        published = refreshed = 0
        for _ in range(_ROUNDS):
            idle += await _late_ms(seconds / _ROUNDS)
            async with _refreshing(refresher):
                await asyncio.sleep(_SETTLE_S)
                before, had = await _published(board), _taken(refresher)
                late += await _late_ms(seconds / _ROUNDS)
                published += await _published(board) - before
                refreshed += _taken(refresher) - had
        gc.unfreeze()
    if refresher.refused:
        raise RuntimeError(f"publications were refused: {dict(refresher.problems)}")
    return Stalls(
        changing=changing,
        p50_ms=float(np.percentile(late, 50)),
        p99_ms=float(np.percentile(late, 99)),
        max_ms=max(late),
        idle_p99_ms=float(np.percentile(idle, 99)),
        idle_max_ms=max(idle),
        refreshed=refreshed,
        published=published,
    )


@asynccontextmanager
async def _refreshing(refresher: Refresher) -> AsyncIterator[None]:
    task = asyncio.create_task(refresher.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _late_ms(seconds: float) -> list[float]:
    late: list[float] = []
    until = time.perf_counter() + seconds
    while (asked := time.perf_counter()) < until:
        await asyncio.sleep(_WAKE_S)
        late.append((time.perf_counter() - asked - _WAKE_S) * 1_000)
    return late


async def _published(board: RedisBoard) -> int:
    versions = await board.versions(range(1, EXPERIMENTS + 1))
    return sum(version.pub_no for version in versions.values())


def _taken(refresher: Refresher) -> int:
    return sum(served.head.pub_no for served in refresher.snapshot.by_number.values())


def _publish(redis_url: str, changing: int, begin: Event, stop: Event) -> None:
    """Publish everything once; from `begin` to `stop` change some of it every EVERY_S."""
    os.nice(10)  # a platform's workers have processors of their own; here they may not have
    asyncio.run(_publishing(redis_url, changing, begin, stop))


async def _publishing(redis_url: str, changing: int, begin: Event, stop: Event) -> None:
    rng = np.random.default_rng(1)
    serves = rng.integers(1_000, 5_000, ARMS)
    rewards = rng.binomial(serves, rng.beta(10.0, 90.0, ARMS))
    posterior = Posterior(serves_micro=serves * MICRO, rewards_micro=rewards * MICRO)
    grid = Thompson().plan_grid(posterior, None).numbered(1)
    experiments = [_experiment(number) for number in range(1, EXPERIMENTS + 1)]
    async with connect(redis_url) as redis:
        board = RedisBoard(redis)
        whole = _cells(range(ARMS), serves, rewards)
        for experiment in experiments:
            await board.publish(_publication(experiment, 1, whole, grid))
        await board.complete("one", [experiment.number for experiment in experiments])
        while not begin.wait(0.01):
            pass
        pub_no = 1
        while not stop.is_set():
            started = time.perf_counter()
            pub_no += 1
            rows = rng.choice(ARMS, CHANGED, replace=False).tolist()
            serves[rows] += 1
            cells = _cells(rows, serves, rewards)
            for experiment in experiments[:changing]:
                await board.publish(_publication(experiment, pub_no, cells, grid))
            await asyncio.sleep(max(0.0, EVERY_S - (time.perf_counter() - started)))


def _experiment(number: int) -> Experiment:
    spec = Spec(name="A", policies=tuple(PolicySpec(name=name) for name in POLICY_NUMBERS))
    then = datetime(2026, 1, 1, tzinfo=UTC)
    return Experiment(
        number=number,
        id=f"exp_{number}",
        key=f"key-{number}",
        state=State.RUNNING,
        spec=spec,
        config_no=1,
        allocation_epoch=1,
        guard_epoch=1,
        salt=bytes(16),
        buckets=allocate(policy_weights(spec)),
        arms=tuple(Arm(arm_no=n, arm_id=f"arm-{n:04}") for n in range(1, ARMS + 1)),
        created_at=then,
        updated_at=then,
    )


def _cells(rows: range | list[int], serves: np.ndarray, rewards: np.ndarray) -> list[PosteriorCell]:
    return [
        (policy, row + 1, int(serves[row]) * MICRO, int(rewards[row]) * MICRO)
        for policy in POLICY_NUMBERS.values()
        for row in rows
    ]


def _publication(
    experiment: Experiment, pub_no: int, cells: list[PosteriorCell], grid: Grid
) -> Publication:
    head = Head(
        incarnation="one",
        pub_no=pub_no,
        fold_no=pub_no,
        config_no=1,
        as_of_ms=0,
        grid_no=grid.number,
        kernel=KERNEL,
        arms=ARMS,
    )
    return Publication(
        experiment=experiment,
        head=head,
        previous_pub_no=pub_no - 1,
        complete=pub_no == 1,
        reconfigured=pub_no == 1,
        cells=cells,
        grid=grid.to_bytes() if pub_no == 1 else None,
    )
