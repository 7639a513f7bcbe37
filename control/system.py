"""How the platform does as a whole: its processes, what serving stored, what of it has come, and up to when all has."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Gauge,
    ProcessCollector,
    generate_latest,
)

from control.access import PUBLIC, needs
from control.health import Probes
from control.traffic import Traffic
from pullarm.clock import Clock
from pullarm.domain.access import Role
from pullarm.domain.errors import Unavailable
from pullarm.domain.instance import Heard
from pullarm.domain.intake import Backlog, Intake, watermark
from pullarm.domain.ports import InstanceBoard

AskIntake = Callable[[], Awaitable[list[Intake]]]
"""Raises Unavailable while the ledger is away."""

AskStates = Callable[[], Awaitable[list[tuple[str, str, str]]]]
"""The newest verdict of every guardrail. Raises Unavailable while the ledger is away."""

AskBacklog = Callable[[], Awaitable[Backlog]]
"""Raises Unavailable while Redis is away."""
_STATES = {"pass": 0, "warn": 1, "fail": 2, "unknown": 3}
_SILENT_S = 15.0
_SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsView:
    """The events of serving processes, but for those that ended long ago and of which nothing is missing."""

    numbered: int
    """As far as is known: up to the last that has come of each process."""
    missing: int
    """Of these, those that have not come: they are on their way, in a spool, or lost."""
    lost: int
    """Of these, those that have not come and are not waited for any more."""
    missing_by_process: dict[str, int]
    """Of the lives of processes that have any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatermarkView:
    """Up to when the ledger is complete."""

    at: datetime | None
    """All events of before have come; null where that cannot be said of any moment."""
    age_s: float | None
    """How long ago that was; some twenty seconds where all is well."""
    process: str
    """The serving process that holds it back most; "" where none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamView:
    """What of Redis' event stream waits to be folded."""

    entries: int
    used_bytes: int
    oldest_s: float
    """How long the first of it has waited: the lag of the fold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceView:
    """A process, as it said last of itself."""

    part: str
    """serving, control or worker."""
    name: str
    host: str
    pid: int
    version: str
    """Of the software."""
    address: str
    """Where it listens; empty for one that does not."""
    since: datetime
    """When it began."""
    status: str
    """ready, degraded or unready, as its `/readyz` has it; silent where it was not heard of for 15 s."""
    reasons: tuple[str, ...]
    """Why it is degraded or unready."""
    snapshot_age_s: float | None
    """For how long a serving process may have learned nothing; about a second where all is well."""
    silent_s: float
    """How long ago it said that; every five seconds where all is well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemView:
    """The platform at a glance."""

    instances: tuple[InstanceView, ...] | None
    """Processes that were heard of in the last ten minutes and did not say that they end; null while Redis is away."""
    events: EventsView | None
    """Null while PostgreSQL is away."""
    watermark: WatermarkView | None
    """Likewise."""
    stream: StreamView | None
    """Null while Redis is away."""


class SystemFigures:
    """Asks for the figures."""

    def __init__(
        self,
        ask: AskIntake,
        states: AskStates,
        backlog: AskBacklog,
        instances: InstanceBoard,
        clock: Clock,
    ) -> None:
        self._ask = ask
        self._states = states
        self._backlog = backlog
        self._instances = instances
        self._clock = clock

    async def guardrails(self) -> list[tuple[str, str, str]]:
        """(experiment id, guardrail, newest verdict) of all that is guarded."""
        return await self._states()

    async def stream(self) -> StreamView | None:
        """As of now; None while Redis is away."""
        try:
            found = await self._backlog()
        except Unavailable:
            return None
        return StreamView(
            entries=found.entries, used_bytes=found.used_bytes, oldest_s=found.oldest_s
        )

    async def instances(self) -> tuple[InstanceView, ...] | None:
        """As they said last; None while Redis is away."""
        try:
            return tuple(map(_instance, await self._instances.all()))
        except Unavailable:
            return None

    async def ledger(self) -> tuple[EventsView, WatermarkView]:
        """What has come of what serving stored, and up to when all has. Raises Unavailable."""
        found, now_ms = await self._ask(), self._clock()
        mark = watermark(found, now_ms)
        events = EventsView(
            numbered=sum(each.numbered for each in found),
            missing=sum(each.missing for each in found),
            lost=sum(each.lost for each in found),
            missing_by_process={each.process: each.missing for each in found if each.gaps},
        )
        complete = WatermarkView(
            at=None if mark.at_ms is None else datetime.fromtimestamp(mark.at_ms / 1_000, UTC),
            age_s=None if mark.at_ms is None else (now_ms - mark.at_ms) / 1_000,
            process=mark.process,
        )
        return events, complete

    async def view(self) -> SystemView:
        """As of now, without what comes from a server that is away."""
        try:
            events, complete = await self.ledger()
        except Unavailable:
            events, complete = None, None
        return SystemView(
            instances=await self.instances(),
            events=events,
            watermark=complete,
            stream=await self.stream(),
        )


class Measured:
    """All of it for Prometheus, but for what comes from a server that is away."""

    def __init__(self, figures: SystemFigures, probes: Probes, traffic: Traffic) -> None:
        self._figures = figures
        self._probes = probes
        self._traffic = traffic

    async def tell(self) -> bytes:
        """Figures of one moment, as text."""
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(self._traffic)
        reachable = Gauge(
            "pullarm_reachable", "1 for a server that answers.", ("server",), registry=registry
        )
        for server, said in (await self._probes.ask()).checks.items():
            reachable.labels(server).set(said == "ok")
        if (stream := await self._figures.stream()) is not None:
            _gauge(registry, "stream_entries", "Entries that wait to be folded.", stream.entries)
            _gauge(registry, "stream_bytes", "Memory they take.", stream.used_bytes)
            text = "How long the first entry that waits has waited."
            _gauge(registry, "fold_lag_seconds", text, stream.oldest_s)
        with suppress(Unavailable):
            await self._ledger(registry)
        return generate_latest(registry)

    async def _ledger(self, registry: CollectorRegistry) -> None:
        events, complete = await self._figures.ledger()
        states, age_s = await self._figures.guardrails(), complete.age_s
        _gauge(registry, "events_numbered", "Events that serving stored.", events.numbered)
        _gauge(registry, "events_missing", "Of these, those that have not come.", events.missing)
        _gauge(registry, "events_lost", "Of these, those that were given up.", events.lost)
        text = "How long ago it was up to when all events have come; infinite where nobody knows."
        _gauge(registry, "watermark_age_seconds", text, inf if age_s is None else age_s)
        state = Gauge(
            "pullarm_guardrail_state",
            "Newest verdict: 0 pass, 1 warn, 2 fail, 3 unknown.",
            ("experiment", "guardrail"),
            registry=registry,
        )
        for experiment, guardrail, verdict in states:
            if verdict in _STATES:
                state.labels(experiment, guardrail).set(_STATES[verdict])


class System(Controller):
    """For operators."""

    tags = ("System",)

    @get("/api/system", opt=needs(Role.VIEWER))
    async def system(self, figures: NamedDependency[SystemFigures]) -> SystemView:
        """Show the processes, what serving stored, what of it has not come, and up to when all has."""
        return await figures.view()

    @get("/metrics", include_in_schema=False, opt=PUBLIC)
    async def metrics(self, measured: NamedDependency[Measured]) -> Response[bytes]:
        """The same for Prometheus."""
        return Response(await measured.tell(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _instance(heard: Heard) -> InstanceView:
    told, condition = heard.instance, heard.instance.condition
    return InstanceView(
        part=told.part.value,
        name=told.name,
        host=told.host,
        pid=told.pid,
        version=told.version,
        address=told.address,
        since=datetime.fromtimestamp(told.since_ms / 1_000, UTC),
        status=_SILENT if heard.silent_s > _SILENT_S else condition.status,
        reasons=condition.reasons,
        snapshot_age_s=condition.snapshot_age_s,
        silent_s=heard.silent_s,
    )


def _gauge(registry: CollectorRegistry, name: str, help_text: str, value: float) -> None:
    Gauge(f"pullarm_{name}", help_text, registry=registry).set(value)
