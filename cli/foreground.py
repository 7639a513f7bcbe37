"""A platform in the foreground of a terminal: signals stop it in order, or at once."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from cli.platform import Platform

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Result = TypeVar("Result")


async def run(platform: Platform, work: Callable[[], Awaitable[Result]]) -> Result | None:
    """Do some work on the platform while it is up; None where a signal ended it.

    The first signal stops everything in order and the second kills everything at once. Raises SupervisionFailed where a
    program of the platform is left to itself.
    """
    task = asyncio.create_task(_whole(platform, work))
    asked = False

    def ask() -> None:
        nonlocal asked
        if asked:
            platform.kill()
        elif not platform.stopping:  # an ordered stop must not be cut off half-way
            task.cancel()
        asked = True

    loop = asyncio.get_running_loop()
    for each in STOP_SIGNALS:
        if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN:  # else under nohup
            loop.add_signal_handler(each, ask)
    with suppress(asyncio.CancelledError):
        return await task
    return None


async def _whole(platform: Platform, work: Callable[[], Awaitable[Result]]) -> Result:
    async with platform:
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(platform.watch())
                result = await work()
                watch.cancel()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
    return result
