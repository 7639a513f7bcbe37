"""A run of suites: what they measure with, what they find, and the platforms they find it on."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from benchmarks import history, sla, traffic
from benchmarks.compare import Comparer, Plan, Report, Result
from benchmarks.fleet import Fleet
from benchmarks.history import Past
from benchmarks.site import Host, Site, seen
from benchmarks.sla import Check, Limit
from pullarm.storage.postgres import Database

HISTORY = 10_000_000
"""Decisions that analytics and pages are measured over."""
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
        self._past: tuple[Site, Past] | None = None
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

    async def past(self) -> tuple[Site, Past]:
        """A platform with a long history and no traffic, which is written for the first suite that asks."""
        if self._past is None:
            await self.close_platform()
            site = await self._platform_stack.enter_async_context(self.host.platform(1))
            decisions, until = self.settings.history, datetime.now(UTC)
            self.report(f"writing {decisions:,} decisions of two weeks")
            async with Database(site.environment["DATABASE_URL"]) as database:
                experiment = await history.write(database, decisions, until=until)
            self._past = site, Past(experiment=experiment.id, decisions=decisions, until=until)
        return self._past

    async def close_platform(self) -> None:
        """Stop the platform, where one runs: the next measurement wants the machine for itself."""
        self._site = self._past = None
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
