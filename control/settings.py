"""The control plane's settings, read from the environment once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

from pullarm.environment import (
    flag,
    host_and_port,
    number,
    optional,
    optional_path,
    refuse_exposure,
    required,
)
from pullarm.tls import Tls, Trust
from pullarm.tracing import Wanted

ADDRESS = "PULLARM_HTTP_ADDRESS"
READ_URL = "DATABASE_READ_URL"
REPLAYS = "PULLARM_REPLAYS"
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of the control plane one caller may have."""

    per_address: int = 100
    """Requests a second; 0: any number."""
    per_token: int = 50
    """Requests a second, from wherever; 0: any number."""
    body_bytes: int = 16 * _MIB
    session_s: float = 12 * 3600.0
    """How long a log-in lasts."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises ConfigurationError that names the variable at fault."""
        read = partial(number, environment)
        return cls(
            per_address=int(read("PULLARM_REQUESTS_PER_ADDRESS", 100, most=10_000)),
            per_token=int(read("PULLARM_REQUESTS_PER_TOKEN", 50, most=10_000)),
            body_bytes=int(read("PULLARM_MAX_BODY_MIB", 16, least=0.01, most=1024) * _MIB),
            session_s=read("PULLARM_SESSION_HOURS", 12, least=0.1, most=8760) * 3600,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All the control plane is told from outside."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    read_url: str = field(default="", repr=False)
    """Of a standby that figures and logs are read from; empty: the database itself."""
    host: str = "127.0.0.1"
    port: int = 8000
    tls: Tls | None = None
    proxies: str = ""
    """Addresses, with commas between, whose word is taken for who asks; empty: nobody's."""
    limits: Limits = field(default_factory=Limits)
    grpc_address: str = "127.0.0.1:50051"
    """Of serving, which the example upstream asks."""
    upstream_token: str = field(default="", repr=False)
    """Of role caller, where serving requires one."""
    upstream_trust: Trust | None = None
    """Where serving has TLS."""
    dashboard: bool = True
    replays: Path | None = None
    """The folder whose replay reports are listed."""
    clock: str = "system"
    process: str = "control"
    ready_file: Path | None = None
    """Touched once requests are answered."""
    traces: Wanted | None = None
    """None: no request is traced."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises ConfigurationError that names the variable at fault."""
        address = optional(environment, ADDRESS, "127.0.0.1:8000")
        host, port = host_and_port(ADDRESS, address)
        tls = Tls.from_environment(environment)
        refuse_exposure(environment, ADDRESS, address, lacking="" if tls else "TLS")
        return cls(
            database_url=required(environment, "DATABASE_URL"),
            redis_url=required(environment, "REDIS_URL"),
            read_url=optional(environment, READ_URL, ""),
            host=host,
            port=port,
            tls=tls,
            proxies=optional(environment, "FORWARDED_ALLOW_IPS", ""),
            limits=Limits.from_environment(environment),
            grpc_address=optional(environment, "PULLARM_GRPC_ADDRESS", "127.0.0.1:50051"),
            upstream_token=optional(environment, "PULLARM_UPSTREAM_TOKEN", ""),
            dashboard=flag(environment, "BANDIT_DASHBOARD_ENABLED", default=True),
            replays=optional_path(environment, REPLAYS),
            upstream_trust=Trust.from_environment(environment),
            clock=optional(environment, "PULLARM_CLOCK", "system"),
            process=optional(environment, "PULLARM_PROCESS", "control"),
            ready_file=optional_path(environment, "PULLARM_READY_FILE"),
            traces=Wanted.from_environment(environment, "pullarm-control"),
        )
