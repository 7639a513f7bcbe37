"""The processes of a platform, as they say of themselves every few seconds."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

FORGOTTEN_MS = 600_000
"""Who has not been heard of for so long is listed no more."""


class Part(StrEnum):
    """What a process is there for."""

    SERVING = "serving"
    CONTROL = "control"
    WORKER = "worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How a process is."""

    status: str = "ready"
    """As its `/readyz` has it: ready, degraded or unready."""
    reasons: tuple[str, ...] = ()
    """Why it is not ready, or not quite."""
    snapshot_age_s: float | None = None
    """For how long serving may have learned nothing; None of other parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One process; no two that live have the same host, name and process id."""

    part: Part
    name: str
    host: str
    pid: int
    version: str
    """Of the software."""
    since_ms: int
    """When it began, by its machine's clock."""
    address: str = ""
    """Where it listens; empty for one that does not."""
    condition: Condition = Condition()

    @property
    def identity(self) -> str:
        """What tells it from the others."""
        return f"{self.host}/{self.name}/{self.pid}"


class Heard(NamedTuple):
    """What a process said last."""

    instance: Instance
    silent_s: float
    """How long ago that was."""
