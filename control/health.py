"""Whether the control plane lives, and whether what it needs answers."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from litestar import Controller, Response, get
from litestar.di import NamedDependency

from control.access import PUBLIC
from pullarm.domain.errors import ConfigurationError, Unavailable

Probe = Callable[[], Awaitable[None]]
"""Raises Unavailable while its server is away, ConfigurationError where it is not as it has to be."""

PROBE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether everything answers, and what each server says."""

    ready: bool
    checks: dict[str, str]


class Probes:
    """The servers to ask, by name."""

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        self._probes = probes

    async def ask(self) -> Readiness:
        """Ask all at once."""
        answers = await asyncio.gather(*(_ask(probe) for probe in self._probes.values()))
        checks = dict(zip(self._probes, answers, strict=True))
        return Readiness(ready=set(answers) <= {"ok"}, checks=checks)


async def _ask(probe: Probe) -> str:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await probe()
    except TimeoutError:
        return f"no answer within {PROBE_TIMEOUT_S:g} s"
    except (Unavailable, ConfigurationError) as error:
        return str(error)
    return "ok"


class Health(Controller):
    """For whoever watches the process."""

    tags = ("Health",)
    opt = PUBLIC

    @get("/healthz")
    async def alive(self) -> dict[str, str]:
        """Say that the process answers."""
        return {"status": "alive"}

    @get("/readyz")
    async def ready(self, probes: NamedDependency[Probes]) -> Response[Readiness]:
        """Say which of the servers answer; 503 unless all do."""
        readiness = await probes.ask()
        status = HTTPStatus.OK if readiness.ready else HTTPStatus.SERVICE_UNAVAILABLE
        return Response(readiness, status_code=status)
