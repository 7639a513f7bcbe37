"""How the platform does as a whole: what serving stored, what of it has come, and up to when all has."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from control.access import PUBLIC, needs
from pullarm.clock import Clock
from pullarm.domain.access import Role
from pullarm.domain.intake import Intake, watermark

AskIntake = Callable[[], Awaitable[list[Intake]]]
"""Raises Unavailable while the ledger is away."""

AskStates = Callable[[], Awaitable[list[tuple[str, str, str]]]]
"""The newest verdict of every guardrail. Raises Unavailable while the ledger is away."""
_STATES = {"pass": 0, "warn": 1, "fail": 2, "unknown": 3}


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
class SystemView:
    """The platform at a glance."""

    events: EventsView
    watermark: WatermarkView


class SystemFigures:
    """Asks for the figures."""

    def __init__(self, ask: AskIntake, states: AskStates, clock: Clock) -> None:
        self._ask = ask
        self._states = states
        self._clock = clock

    async def guardrails(self) -> list[tuple[str, str, str]]:
        """(experiment id, guardrail, newest verdict) of all that is guarded."""
        return await self._states()

    async def view(self) -> SystemView:
        """As of now."""
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
        return SystemView(events=events, watermark=complete)


class System(Controller):
    """For operators."""

    tags = ("System",)

    @get("/api/system", opt=needs(Role.VIEWER))
    async def system(self, figures: NamedDependency[SystemFigures]) -> SystemView:
        """Show what serving stored, what of it has not come, and up to when all has."""
        return await figures.view()

    @get("/metrics", include_in_schema=False, opt=PUBLIC)
    async def metrics(self, figures: NamedDependency[SystemFigures]) -> Response[bytes]:
        """The same for Prometheus."""
        view, registry = await figures.view(), CollectorRegistry()
        events, age_s = view.events, view.watermark.age_s
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
        for experiment, guardrail, verdict in await figures.guardrails():
            if verdict in _STATES:
                state.labels(experiment, guardrail).set(_STATES[verdict])
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _gauge(registry: CollectorRegistry, name: str, help_text: str, value: float) -> None:
    Gauge(f"pullarm_{name}", help_text, registry=registry).set(value)
