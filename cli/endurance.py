"""Whether a platform stays as it is under a load that goes on: its processes' memory, what waits to be folded, p99."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from statistics import median

from scipy.stats import theilslopes

from benchmarks import machine
from cli.platform import Platform
from cli.tally import Tally
from pullarm.statistics.sketch import LatencySketch
from pullarm.storage.redis import reach
from pullarm.storage.redis.facts import backlog

EVERY_S = 5.0
"""Between two looks."""
WINDOW = 12
"""Looks whose answers make one p99: those of a minute."""
LEAST = 6
"""Looks, two in each third."""
WARM_S = 300.0
"""In which processes that were started just now take what they need, as PostgreSQL's sessions plans of statements."""
LEAK_MB_PER_HOUR = 20.0
"""At 500 decisions a second: 11 bytes of each that are never given back."""
WORSE = 2.0
"""How many times the backlog and p99 of the first third those of the last may be: machines are shared."""
BACKLOG = 1_000
"""Entries of the stream that are no backlog: what comes between two folds."""
P99_MS = 10.0
"""What is quick enough, whatever it was before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at a platform."""

    at_s: float
    private_mb: Mapping[str, float]
    """By program: memory that nothing else holds, of the one of its processes that has most.

    How many sessions PostgreSQL has, and how many of them have met every statement, is the pools' business and no leak.
    """
    waiting: int
    """Entries in the stream."""
    answered: LatencySketch
    """All answers so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endurance:
    """What came of a load that went on."""

    minutes: float
    mb: Mapping[str, tuple[float, float]]
    """Memory by program: medians of the first and of the last third."""
    mb_per_hour: Mapping[str, float]
    """By program: the median of the slopes between any two looks after WARM_S (Theil-Sen, Sen 1968); none of less."""
    waiting: tuple[float, float]
    """Entries in the stream: medians of the first and of the last third."""
    p99_ms: tuple[float, float]
    """Of Select as the caller saw it: medians of the minutes of the first and of the last third."""

    @property
    def steady(self) -> bool:
        """No leak, nothing that piles up, and answers as quick as in the beginning."""
        return (
            all(slope <= LEAK_MB_PER_HOUR for slope in self.mb_per_hour.values())
            and self.waiting[1] <= max(BACKLOG, WORSE * self.waiting[0])
            and self.p99_ms[1] <= max(P99_MS, WORSE * self.p99_ms[0]) < inf
        )


@dataclass(slots=True)
class Watch:
    """Looks at a platform while its load goes on."""

    platform: Platform
    tally: Tally
    looks: list[Look] = field(default_factory=list)

    async def look(self) -> None:
        """One look."""
        async with reach(self.platform.environment["REDIS_URL"]) as redis:
            waiting = (await backlog(redis)).entries
        private_mb = {}
        for name, pid in self.platform.pids.items():
            with suppress(OSError):  # it has ended just now
                private_mb[name] = machine.private_mb(pid)
        answered = LatencySketch(dict(self.tally.select_ms.counts))
        self.looks.append(
            Look(at_s=time.monotonic(), private_mb=private_mb, waiting=waiting, answered=answered)
        )

    async def go_on(self, load: "asyncio.Task[None]", seconds: float) -> Endurance:
        """Look on for so long, and half a minute at least; raises what ended the load."""
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at or len(self.looks) < LEAST:
            await self.look()
            await asyncio.wait([load], timeout=EVERY_S)
            if load.done():
                load.result()
        return endurance(self.looks)


def endurance(looks: Sequence[Look]) -> Endurance:
    """What looks at even distances, LEAST or more, come to."""
    third = len(looks) // 3
    first, last = looks[:third], looks[-third:]
    names = sorted(set.intersection(*(set(look.private_mb) for look in looks)))
    warm = [look for look in looks if look.at_s - looks[0].at_s >= WARM_S]
    times = [look.at_s / 3600 for look in warm]
    slopes = {
        name: float(theilslopes([look.private_mb[name] for look in warm], times).slope)
        for name in names
        if len(warm) >= LEAST
    }
    return Endurance(
        minutes=(looks[-1].at_s - looks[0].at_s) / 60,
        mb={name: (_held_mb(first, name), _held_mb(last, name)) for name in names},
        mb_per_hour=slopes,
        waiting=(_waiting(first), _waiting(last)),
        p99_ms=(_p99_ms(first), _p99_ms(last)),
    )


def _held_mb(looks: Sequence[Look], name: str) -> float:
    return median(look.private_mb[name] for look in looks)


def _waiting(looks: Sequence[Look]) -> float:
    return median(look.waiting for look in looks)


def _p99_ms(looks: Sequence[Look]) -> float:
    """Of a third in which nothing was answered: without end."""
    marks = [*looks[:-1:WINDOW], looks[-1]]
    found = []
    for before, after in pairwise(marks):
        counts = before.answered.counts
        within = {b: n - counts.get(b, 0) for b, n in after.answered.counts.items()}
        p99 = LatencySketch({b: n for b, n in within.items() if n}).quantile(0.99)
        found.append(inf if p99 is None else p99)
    return median(found)
