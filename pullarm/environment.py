"""Variables of the environment; one that is set to nothing counts as unset, as shells and compose files leave it."""

import os
from collections.abc import Mapping
from ipaddress import ip_address
from math import nan
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from pullarm.domain.errors import ConfigurationError

EXPOSE = "PULLARM_EXPOSE"


def required(environment: Mapping[str, str], name: str) -> str:
    """The variable's value; raises ConfigurationError that names it."""
    value = environment.get(name)
    if not value:
        raise ConfigurationError(f"{name} is not set; `pullarm up` sets it by itself")
    return value


def optional(environment: Mapping[str, str], name: str, default: str) -> str:
    """The variable's value, or the default."""
    return environment.get(name) or default


def host_and_port(name: str, address: str) -> tuple[str, int]:
    """The two parts of an address; raises ConfigurationError that names the variable it came from."""
    problem = f"{name}={address!r} is not HOST:PORT, such as 127.0.0.1:8000"
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(problem) from error
    if not host or port is None:
        raise ConfigurationError(problem)
    return host, port


def optional_path(environment: Mapping[str, str], name: str) -> Path | None:
    """The path in the variable, if there is one."""
    value = environment.get(name)
    return Path(value) if value else None


def number(
    environment: Mapping[str, str], name: str, default: float, *, least: float = 0.0, most: float
) -> float:
    """The number in the variable, or the default; raises ConfigurationError that names it and its range."""
    text = optional(environment, name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = nan
    if not least <= value <= most:
        raise ConfigurationError(f"{name} is {text!r}; give a number from {least:g} to {most:g}")
    return value


def flag(environment: Mapping[str, str], name: str) -> bool:
    """Whether the variable is 1; unset and 0 are not. Raises ConfigurationError for anything else."""
    text = optional(environment, name, "0")
    if text not in ("0", "1"):
        raise ConfigurationError(f"{name} is {text!r}; give 1 or 0")
    return text == "1"


class Tls(NamedTuple):
    """A server's certificate, with the chain behind it, and its key: PEM files."""

    certificate: Path
    key: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self | None:
        """None where neither is named; raises ConfigurationError where one is missing or cannot be read."""
        names = ("PULLARM_TLS_CERTIFICATE", "PULLARM_TLS_KEY")
        if not any(environment.get(name) for name in names):
            return None
        certificate, key = paths = [Path(required(environment, name)) for name in names]
        for name, path in zip(names, paths, strict=True):
            if not os.access(path, os.R_OK):
                raise ConfigurationError(f"{name}: {path} cannot be read")
        return cls(certificate, key)


def refuse_exposure(
    environment: Mapping[str, str], name: str, address: str, *, lacking: str
) -> None:
    """Raise ConfigurationError where an address is open to other machines without what is `lacking`.

    Nothing lacking, or PULLARM_EXPOSE=1, lets it pass: for who has a proxy or a closed network around it.
    """
    if lacking and not _is_local(address) and not flag(environment, EXPOSE):
        raise ConfigurationError(
            f"{name}={address!r} is open to other machines, without {lacking}; bind to 127.0.0.1, configure that, "
            f"or set {EXPOSE}=1 where something else protects it"
        )


def _is_local(address: str) -> bool:
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name, which may come to mean another address at any time
        return host == "localhost"
