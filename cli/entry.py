"""What every process of ours does first: log to standard error, then run until it is told to stop."""

import asyncio
import logging
import os
from collections.abc import Coroutine
from typing import Any

_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def run(process: Coroutine[Any, Any, None]) -> None:
    """Run a process to its end; PullarmError is told in one line by `main`."""
    level = os.environ.get("PULLARM_LOG_LEVEL", "INFO").upper()
    logging.basicConfig(level=level, format=_FORMAT)
    logging.getLogger("arq").setLevel(logging.WARNING)
    asyncio.run(process)
