"""Variables of the environment; one that is set to nothing counts as unset, as shells and compose files leave it."""

from collections.abc import Mapping
from pathlib import Path

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


def optional_path(environment: Mapping[str, str], name: str) -> Path | None:
    """The path in the variable, if there is one."""
    value = environment.get(name)
    return Path(value) if value else None
