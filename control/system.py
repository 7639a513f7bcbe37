"""How the platform does as a whole: what serving stored, and what of it has come."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from control.access import PUBLIC, needs
from pullarm.domain.access import Role
from pullarm.domain.ports import Intake

AskIntake = Callable[[], Awaitable[list[Intake]]]
"""Raises Unavailable while the ledger is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsView:
    """The events of all serving processes there ever were."""

    numbered: int
    """As far as is known: up to the last that has come of each process."""
    missing: int
    """Of these, those that have not come: they are on their way, in a spool, or lost."""
    missing_by_process: dict[str, int]
    """Of the lives of processes that have any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemView:
    """The platform at a glance."""

    events: EventsView


class SystemFigures:
    """Asks for the figures."""

    def __init__(self, ask: AskIntake) -> None:
        self._ask = ask

    async def view(self) -> SystemView:
        """As of now."""
        found = await self._ask()
        events = EventsView(
            numbered=sum(each.numbered for each in found),
            missing=sum(each.missing for each in found),
            missing_by_process={each.process: each.missing for each in found if each.gaps},
        )
        return SystemView(events=events)


class System(Controller):
    """For operators."""

    tags = ("System",)

    @get("/api/system", opt=needs(Role.VIEWER))
    async def system(self, figures: NamedDependency[SystemFigures]) -> SystemView:
        """Show what serving stored, and what of it has not come."""
        return await figures.view()

    @get("/metrics", include_in_schema=False, opt=PUBLIC)
    async def metrics(self, figures: NamedDependency[SystemFigures]) -> Response[bytes]:
        """The same for Prometheus."""
        events, registry = (await figures.view()).events, CollectorRegistry()
        _gauge(registry, "numbered", "Events that serving stored.", events.numbered)
        _gauge(registry, "missing", "Of these, those that have not come.", events.missing)
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _gauge(registry: CollectorRegistry, name: str, help_text: str, value: int) -> None:
    Gauge(f"pullarm_events_{name}", help_text, registry=registry).set(value)
