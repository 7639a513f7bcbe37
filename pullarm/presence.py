"""A process says every few seconds that it lives, and how it is, for whoever looks at the platform as a whole."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from importlib.metadata import version

from pullarm.clock import system_clock
from pullarm.domain.errors import Unavailable
from pullarm.domain.instance import Condition, Instance, Part
from pullarm.domain.ports import InstanceBoard

TELL_EVERY_S = 5.0
_LEAVE_WITHIN_S = 1.0

_log = logging.getLogger(__name__)


def this_process(part: Part, name: str, address: str = "") -> Instance:
    """The process that asks, as it began now."""
    return Instance(
        part=part,
        name=name,
        host=socket.gethostname(),
        pid=os.getpid(),
        version=version("pullarm"),
        since_ms=system_clock(),
        address=address,
    )


@asynccontextmanager
async def present(
    board: InstanceBoard, instance: Instance, condition: Callable[[], Condition] = Condition
) -> AsyncIterator[None]:
    """Tell the board of a process for as long as the block lasts, and that it has ended then."""
    telling = asyncio.create_task(_tell(board, instance, condition), name="presence")
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.wait([telling], timeout=_LEAVE_WITHIN_S)
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(_LEAVE_WITHIN_S):
                await board.forget(instance)


async def _tell(
    board: InstanceBoard, instance: Instance, condition: Callable[[], Condition]
) -> None:
    task = asyncio.current_task()
    # Looked at because the driver's `wait_for` may swallow a cancellation (CPython 3.11, issue 86296).
    while task is not None and not task.cancelling():
        try:
            await board.tell(replace(instance, condition=condition()))
        except Unavailable as error:
            _log.debug("nobody is told of this process: %s", error)
        except Exception:  # no request and no event depends on it
            _log.exception("nobody is told of this process")
        await asyncio.sleep(TELL_EVERY_S)
