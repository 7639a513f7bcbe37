"""The control plane's settings, read from the environment once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pullarm.environment import host_and_port, optional, optional_path, required

ADDRESS = "PULLARM_HTTP_ADDRESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All the control plane is told from outside."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 8000
    clock: str = "system"
    process: str = "control"
    ready_file: Path | None = None
    """Touched once requests are answered."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises ConfigurationError that names the variable at fault."""
        host, port = host_and_port(ADDRESS, optional(environment, ADDRESS, "127.0.0.1:8000"))
        return cls(
            database_url=required(environment, "DATABASE_URL"),
            redis_url=required(environment, "REDIS_URL"),
            host=host,
            port=port,
            clock=optional(environment, "PULLARM_CLOCK", "system"),
            process=optional(environment, "PULLARM_PROCESS", "control"),
            ready_file=optional_path(environment, "PULLARM_READY_FILE"),
        )
