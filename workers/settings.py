"""What a worker process is told by its environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pullarm import watching
from pullarm.domain.errors import ConfigurationError
from pullarm.environment import ARCHIVE, optional, optional_path, required
from pullarm.storage.redis.cluster import is_cluster
from pullarm.tracing import Wanted
from workers.alerting import Channels

RETENTION = "PULLARM_RETENTION_DAYS"
CHECKS = "PULLARM_CHECK_DAYS"
_CHECK_DAYS = 90


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
    archive: str = field(default="", repr=False)
    """Where removed days are kept in files: a folder, or a URL with perhaps a secret in it; "": nowhere."""
    check_days: int = _CHECK_DAYS
    """Checks of guardrails that are so many days old are removed, but for the newest."""
    alerts: Channels = field(default_factory=Channels)
    """Where what somebody has to know is told."""
    metrics_address: str = ""
    """Where /metrics, /readyz and /healthz are; "": nowhere."""
    ready_file: Path | None = None
    """Touched once the worker consumes and publishes."""
    traces: Wanted | None = None
    """None: no request is traced."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises ConfigurationError that names the variable at fault."""
        redis_url = required(environment, "REDIS_URL")
        if is_cluster(redis_url) and not environment.get("QUEUE_REDIS_URL"):
            raise ConfigurationError(
                "QUEUE_REDIS_URL is not set, and REDIS_URL is a cluster, which cannot have arq's queue: name a server"
            )
        return cls(
            database_url=required(environment, "DATABASE_URL"),
            redis_url=redis_url,
            queue_redis_url=optional(environment, "QUEUE_REDIS_URL", redis_url),
            clock=optional(environment, "PULLARM_CLOCK", "system"),
            process=optional(environment, "PULLARM_PROCESS", "worker"),
            retention_days=retention_days(environment),
            archive=optional(environment, ARCHIVE, ""),
            check_days=_days(environment, CHECKS, "keep them for 90") or _CHECK_DAYS,
            alerts=Channels.from_environment(environment),
            metrics_address=optional(environment, watching.ADDRESS, ""),
            ready_file=optional_path(environment, "PULLARM_READY_FILE"),
            traces=Wanted.from_environment(environment, "pullarm-worker"),
        )


def retention_days(environment: Mapping[str, str]) -> int | None:
    """How many days of decisions are kept, None for all; raises ConfigurationError."""
    return _days(environment, RETENTION, "keep all decisions")


def _days(environment: Mapping[str, str], name: str, unset: str) -> int | None:
    value = environment.get(name)
    if not value:
        return None
    if not value.isdecimal() or int(value) == 0:
        raise ConfigurationError(
            f"{name}={value!r} is no number of days, such as 90; unset it to {unset}"
        )
    return int(value)
