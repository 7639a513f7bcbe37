"""Variables of the environment; one that is set to nothing counts as unset, as shells and compose files leave it."""

from collections.abc import Mapping
from ipaddress import ip_address
from math import nan
from pathlib import Path
from urllib.parse import urlsplit

from pullarm.domain.errors import ConfigurationError

EXPOSE = "PULLARM_EXPOSE"
ARCHIVE = "PULLARM_ARCHIVE"
"""Where files of removed days are: a folder, or a URL that pyarrow's file systems take."""
NO_ARCHIVE = "none"
"""The value of who archived so far, and shall no more."""
_FLAGS = {"1": True, "true": True, "0": False, "false": False}


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


def stamp(path: Path) -> tuple[int, ...]:
    """What changes whenever the file is written, replaced or given to somebody; empty where it is missing."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ctime_ns, found.st_ino, found.st_size


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


def flag(environment: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    """Whether the variable is 1 or true; 0 and false are not. Raises ConfigurationError for anything else."""
    text = optional(environment, name, "1" if default else "0").lower()
    if text not in _FLAGS:
        raise ConfigurationError(f"{name} is {text!r}; give 1 or 0")
    return _FLAGS[text]


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
