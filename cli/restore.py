"""`pullarm restore`: the ledger as a backup has it, in a new life of its own."""

import asyncio
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from cli.backup import OURS, ledger_of
from cli.postgres_tools import ToolFailed, Tools, find_tools
from cli.state import surroundings
from pullarm.clock import clock_from
from pullarm.domain.errors import Conflict, invalid
from pullarm.storage.postgres import Database, migrate
from pullarm.storage.postgres.restore import BEFORE, Inventory, after, inventory, look
from pullarm.storage.postgres.schema import migrations
from pullarm.storage.postgres.times import at

_SINCE_17 = b"SET transaction_timeout = 0;\n"


def command(
    file: Annotated[Path, Argument(help="What `pullarm backup` wrote.")],
    force: Annotated[
        bool, Option("--force", help="Also where there is a ledger, which is lost.")
    ] = False,
    state: Annotated[
        Path, Option(help="State folder of `pullarm up`, where DATABASE_URL is not set.")
    ] = Path(".pullarm"),
) -> None:
    """Put the ledger back to what a backup has, all or nothing, and begin a new life of it.

    The platform may run: its workers publish everything anew, and learning goes on. What was decided since the backup
    is gone, and its numbers are not given out again. Without DATABASE_URL and a running platform, the state folder's
    own PostgreSQL is started for it, and made where it is missing.
    """
    if not file.is_file():
        raise invalid(str(file), "is no file")
    environment = surroundings(state)
    now = at(clock_from(environment.get("PULLARM_CLOCK", "system"))())
    found = asyncio.run(_restore(file, state, now, force=force))
    until = f"folded until {found.folded_at:%Y-%m-%d %H:%M:%S}Z" if found.folded_at else "no folds"
    print(f"{found.experiments} experiments, {until}; incarnation {found.incarnation}")


async def _restore(file: Path, state: Path, now: datetime, *, force: bool) -> Inventory:
    async with ledger_of(state) as url:
        return await restore(url, file, now, force=force)


async def restore(url: str, file: Path, now: datetime, *, force: bool) -> Inventory:
    """Replace the database's contents, in one transaction.

    Raises InvalidInput where the file is no backup or a newer version's, Conflict where there is a ledger and it is not
    forced, ToolFailed where PostgreSQL refuses; then nothing was changed.
    """
    tools = find_tools(url)
    await asyncio.to_thread(_check_file, tools, file)
    target = await look(url)
    if target.used and not force:
        raise Conflict(
            "there is a ledger with experiments, which would be lost: back it up, and give --force to replace it"
        )

    def mend(script: bytes) -> bytes:
        """Without a setting that older servers do not know, and pg_restore writes for all."""
        return script if target.server >= 17 else script.replace(_SINCE_17, b"")

    await asyncio.to_thread(
        tools.feed,
        tools.argv("pg_restore", *OURS, "--file=-", file),
        tools.connected("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-"),
        before=BEFORE,
        mend=mend,
        after=after(now),
    )
    await migrate(url)  # the backup may be an older version's
    async with Database(url, max_connections=1) as database, database.connection() as connection:
        return await inventory(connection)


def _check_file(tools: Tools, file: Path) -> None:
    only = ("--data-only", "--table=migration", "--file=-")
    try:
        listed = tools.run(tools.argv("pg_restore", *only, file))
    except ToolFailed as error:
        raise invalid(str(file), f"is no backup: {error}") from error
    names = set(re.findall(r"^(\d{4}_\w+)\t", listed, re.MULTILINE))
    if not names:
        raise invalid(str(file), "is a backup of something else: it has no migrations of Pullarm")
    newer = sorted(names - {name for name, _ in migrations()})
    if newer:
        raise invalid(
            str(file), f"is of a newer Pullarm, which has {', '.join(newer)}: restore it with that"
        )
