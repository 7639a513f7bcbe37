"""`pullarm migrate`: bring the database up to date."""

import asyncio
import os

from pullarm.domain.errors import ConfigurationError
from pullarm.storage.postgres import migrate


def command() -> None:
    """Apply the migrations that DATABASE_URL lacks; running it again changes nothing."""
    dsn = os.environ.get("DATABASE_URL")
    if not dsn:
        raise ConfigurationError("DATABASE_URL is not set; `pullarm up` sets it by itself")
    applied = asyncio.run(migrate(dsn))
    print("\n".join(f"applied {name}" for name in applied) or "the database is up to date")
