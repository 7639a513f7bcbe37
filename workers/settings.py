"""What a worker process is told by its environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pullarm.domain.errors import ConfigurationError
from pullarm.environment import optional, optional_path, required
from workers.alerting import Channels

RETENTION = "PULLARM_RETENTION_DAYS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read once, in the entry point."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    queue_redis_url: str = field(repr=False)
    """Where arq keeps its queue; its own server if that is set, else the same one."""
    clock: str = "system"
    process: str = "worker"
    retention_days: int | None = None
    """Whole days of decisions that ended so many days ago are removed; None keeps all."""
    alerts: Channels = field(default_factory=Channels)
    """Where what somebody has to know is told."""
    ready_file: Path | None = None
    """Touched once the worker consumes and publishes."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises ConfigurationError that names the variable at fault."""
        redis_url = required(environment, "REDIS_URL")
        return cls(
            database_url=required(environment, "DATABASE_URL"),
            redis_url=redis_url,
            queue_redis_url=optional(environment, "QUEUE_REDIS_URL", redis_url),
            clock=optional(environment, "PULLARM_CLOCK", "system"),
            process=optional(environment, "PULLARM_PROCESS", "worker"),
            retention_days=retention_days(environment),
            alerts=Channels.from_environment(environment),
            ready_file=optional_path(environment, "PULLARM_READY_FILE"),
        )


def retention_days(environment: Mapping[str, str]) -> int | None:
    """How many days of decisions are kept, None for all; raises ConfigurationError."""
    value = environment.get(RETENTION)
    if not value:
        return None
    if not value.isdecimal() or int(value) == 0:
        raise ConfigurationError(
            f"{RETENTION}={value!r} is no number of days, such as 90; unset it to keep all decisions"
        )
    return int(value)
