"""`pullarm give-up`: wait no more for a serving process that is not heard of."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from cli.account import user
from cli.verify import database_url, platform_clock
from pullarm.domain.audit import Author
from pullarm.domain.errors import NotFound
from pullarm.storage.postgres import Database, PostgresIntake
from pullarm.storage.postgres.times import at


def command(
    process: Annotated[str, Argument(help="As `pullarm status` names it.")],
    note: Annotated[str, Option(help="Why, for the audit trail.")] = "",
    state: Annotated[
        Path, Option(help="State folder of a running `pullarm up`, where DATABASE_URL is not set.")
    ] = Path(".pullarm"),
) -> None:
    """Let a serving process that was killed hold back verdicts no more, nor its events that have not come.

    For where its spool is gone for good, as with the machine that it was on: then they are lost. Where the spool is
    there, start a serving process on it instead, and they come. What comes after all is folded all the same.
    """
    author = Author(user(), "command", note)
    asyncio.run(_dismiss(database_url(state), process, author, at(platform_clock(state)())))
    print(f"{process} is not waited for any more")


async def _dismiss(url: str, process: str, author: Author, now: datetime) -> None:
    async with Database(url, max_connections=1) as database:
        if not await PostgresIntake(database).dismiss(process, author, now):
            raise NotFound(f"no serving process is known as {process!r}; see `pullarm status`")
