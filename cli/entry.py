"""What every process of ours does first: log to standard error, then run until it is told to stop."""

import logging
import os
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from pullarm import event_loop
from pullarm.domain.errors import ConfigurationError
from pullarm.environment import optional

LOG_LEVEL = "PULLARM_LOG_LEVEL"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"

Settings = TypeVar("Settings")


def run(process: Callable[[Settings], Coroutine[Any, Any, None]], settings: Settings) -> None:
    """Run a process to its end; PullarmError is told in one line by `main`."""
    logging.basicConfig(level=log_level(os.environ), format=_FORMAT)
    logging.getLogger("arq").setLevel(logging.WARNING)
    event_loop.run(process(settings))


def log_level(environment: Mapping[str, str]) -> str:
    """The level of PULLARM_LOG_LEVEL, in either case; raises ConfigurationError."""
    value = optional(environment, LOG_LEVEL, "INFO")
    if value.upper() not in LEVELS:
        raise ConfigurationError(f"{LOG_LEVEL}={value!r}: use one of {', '.join(LEVELS)}")
    return value.upper()
