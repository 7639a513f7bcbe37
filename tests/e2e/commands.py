"""The `pullarm` command as a process of its own."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cli.platform import OWN
from cli.remote import TOKEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A command that has ended."""

    status: int | None
    output: str
    errors: str


@asynccontextmanager
async def started(
    *arguments: str, given: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """A command that runs without servers, keys and token of the user's own, killed where the block ends first."""
    own = {*OWN, TOKEN}
    environment = {name: os.environ[name] for name in os.environ.keys() - own}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "cli", *arguments),
        env=environment | {"COLUMNS": "200"} | dict(given or {}),
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def pullarm(
    *arguments: str, timeout_s: float = 180, given: Mapping[str, str] | None = None
) -> Ended:
    """Run a command to its end, without servers, keys and token of the user's own, with these variables."""
    async with started(*arguments, given=given) as process, asyncio.timeout(timeout_s):
        output, errors = await process.communicate()
    return Ended(status=process.returncode, output=output.decode(), errors=errors.decode())
