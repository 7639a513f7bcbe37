"""What a worker process is told by its environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pullarm.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read once, in the entry point."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    queue_redis_url: str = field(repr=False)
    """Where arq keeps its queue; its own server if that is set, else the same one."""
    clock: str = "system"
    process: str = "worker"
    ready_file: Path | None = None
    """Touched once the worker consumes and publishes."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises ConfigurationError that names the variable at fault."""
        for name in ("DATABASE_URL", "REDIS_URL"):
            if not environment.get(name):
                raise ConfigurationError(f"{name} is not set; `pullarm up` sets it by itself")
        ready = environment.get("PULLARM_READY_FILE")
        return cls(
            database_url=environment["DATABASE_URL"],
            redis_url=environment["REDIS_URL"],
            queue_redis_url=environment.get("QUEUE_REDIS_URL") or environment["REDIS_URL"],
            clock=environment.get("PULLARM_CLOCK", "system"),
            process=environment.get("PULLARM_PROCESS", "worker"),
            ready_file=Path(ready) if ready else None,
        )
