"""`pullarm backup`: the ledger as of one moment, in a file of pg_dump's."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from cli.account import user
from cli.embedded import Wanted, embedded_services
from cli.postgres_tools import find_tools
from cli.state import read_environment
from pullarm.clock import system_clock
from pullarm.domain.audit import Author
from pullarm.domain.errors import ConfigurationError, invalid
from pullarm.storage.postgres import Database
from pullarm.storage.postgres.facts import note_backup
from pullarm.storage.postgres.times import at

OURS = ("--schema=public", "--no-owner", "--no-privileges")
_MIB = 1024 * 1024


def command(
    file: Annotated[
        Path, Argument(help="File to write; in a folder, a file named after the moment.")
    ],
    state: Annotated[
        Path, Option(help="State folder of `pullarm up`, where DATABASE_URL is not set.")
    ] = Path(".pullarm"),
) -> None:
    """Write everything that is in PostgreSQL to a file, while serving and folding go on.

    It is a pg_dump archive: one moment's state, compressed. What Redis has is made anew from it. Keep the decision keys
    (decision_keys.json in the state folder) as well, and apart from it: without them no reward of an earlier decision
    is accepted.
    """
    if not os.environ.get("DATABASE_URL") and not state.exists():
        raise ConfigurationError(
            f"DATABASE_URL is not set, and there is no state folder {state}; name it with --state"
        )
    size = asyncio.run(_backup(file, state))
    print(f"{size / _MIB:,.1f} MiB written")


async def _backup(file: Path, state: Path) -> int:
    async with ledger_of(state) as url, Database(url, max_connections=1) as database:
        size = await asyncio.to_thread(backup, url, file)
        await note_backup(database, Author(user(), "command"), at(system_clock()), size)
        return size


@asynccontextmanager
async def ledger_of(state: Path) -> AsyncIterator[str]:
    """The address of DATABASE_URL, of a running platform, or of a stopped one's PostgreSQL, started for the block."""
    url = os.environ.get("DATABASE_URL") or read_environment(state).get("DATABASE_URL")
    if url:
        yield url
        return
    async with embedded_services(state, Wanted(valkey=False), lambda _: None) as addresses:
        yield addresses["DATABASE_URL"]


def backup(url: str, file: Path) -> int:
    """Write the archive, which appears once it is whole; answers its size in bytes."""
    if file.is_dir():
        file /= f"pullarm-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.dump"
    partial = file.with_name(f"{file.name}.part")
    tools = find_tools(url)
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        tools.run(tools.connected("pg_dump", "--format=custom", *OURS, "--file", partial))
        partial.replace(file)
    except OSError as error:
        raise invalid(str(file), f"cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    return file.stat().st_size
