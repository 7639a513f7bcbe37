"""`pullarm migrate`: bring the database up to date, and give each part no more of it than it needs."""

import asyncio
import os
from typing import Annotated

from typer import Option

from pullarm.environment import required
from pullarm.storage.postgres import migrate
from pullarm.storage.postgres.roles import make_roles


def command(
    roles: Annotated[
        bool,
        Option("--roles", help="Also make the group roles of workers, control and analytics."),
    ] = False,
) -> None:
    """Apply the migrations that DATABASE_URL lacks; running it again changes nothing.

    Where the group roles are there, they are granted what new tables need.
    """
    dsn = required(os.environ, "DATABASE_URL")
    applied = asyncio.run(migrate(dsn))
    print("\n".join(f"applied {name}" for name in applied) or "the database is up to date")
    if roles:
        for name in asyncio.run(make_roles(dsn)):
            print(f"made {name}")
