"""`pullarm migrate`: bring the database up to date."""

import asyncio
import os

from pullarm.environment import required
from pullarm.storage.postgres import migrate


def command() -> None:
    """Apply the migrations that DATABASE_URL lacks; running it again changes nothing."""
    applied = asyncio.run(migrate(required(os.environ, "DATABASE_URL")))
    print("\n".join(f"applied {name}" for name in applied) or "the database is up to date")
