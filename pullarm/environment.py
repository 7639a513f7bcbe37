"""Variables of the environment; one that is set to nothing counts as unset, as shells and compose files leave it."""

from collections.abc import Mapping
from math import nan
from pathlib import Path
from urllib.parse import urlsplit

from pullarm.domain.errors import ConfigurationError


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
