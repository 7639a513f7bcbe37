"""What every process of ours does first: log to standard error, then run until it is told to stop."""

import logging
import os
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from cli.log_format import formatter
from pullarm import event_loop
from pullarm.domain.errors import ConfigurationError
from pullarm.environment import optional
from pullarm.secrets import Mask, Masked

LOG_LEVEL = "PULLARM_LOG_LEVEL"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

Settings = TypeVar("Settings")


def run(process: Callable[[Settings], Coroutine[Any, Any, None]], settings: Settings) -> None:
    """Run a process to its end; PullarmError is told in one line by `main`."""
    lines = logging.StreamHandler()
    lines.setFormatter(Masked(formatter(os.environ), Mask(os.environ)))
    logging.basicConfig(level=log_level(os.environ), handlers=[lines])
    logging.getLogger("arq").setLevel(logging.WARNING)
    for talkative in (
        "asyncpg.pool",  # of each connection in vain, which who needs one is told, with its stack
        "opentelemetry.exporter",  # of each retry
        "opentelemetry.trace",  # of callers' headers
    ):
        logging.getLogger(talkative).setLevel(logging.ERROR)
    event_loop.run(process(settings))


def log_level(environment: Mapping[str, str]) -> str:
    """The level of PULLARM_LOG_LEVEL, in either case; raises ConfigurationError."""
    value = optional(environment, LOG_LEVEL, "INFO")
    if value.upper() not in LEVELS:
        raise ConfigurationError(f"{LOG_LEVEL}={value!r}: use one of {', '.join(LEVELS)}")
    return value.upper()
