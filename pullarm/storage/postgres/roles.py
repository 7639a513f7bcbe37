"""Group roles with as little as each part of the platform needs; `roles.sql` says what that is."""

from functools import cache
from importlib.resources import files

import asyncpg

from pullarm.domain.errors import ConfigurationError
from pullarm.storage.postgres.database import connected

WORKERS, CONTROL, ANALYTICS = ROLES = ("pullarm_workers", "pullarm_control", "pullarm_analytics")


async def make_roles(dsn: str) -> list[str]:
    """Make the roles that the server lacks, and grant them what they need; answers those that are new.

    By the owner of the tables, who needs CREATEROLE where roles are missing. Raises ConfigurationError.
    """
    async with connected(dsn) as connection:
        have = await _existing(connection)
        lacking = [role for role in ROLES if role not in have]
        try:
            async with connection.transaction():
                for role in lacking:
                    await connection.execute(f"CREATE ROLE {role} NOLOGIN")
                await connection.execute(_grants())
        except asyncpg.InsufficientPrivilegeError as error:
            raise ConfigurationError(
                f"DATABASE_URL: {error}; roles are made by the owner of the tables, with CREATEROLE"
            ) from error
        return lacking


async def let_in(dsn: str, role: str, password: str) -> None:
    """Let somebody log in as a role itself, in a cluster that nothing else is in."""
    async with connected(dsn) as connection:
        statement = "SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)"
        await connection.execute(await connection.fetchval(statement, role, password))


async def renew_grants(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Where all of them are there, grant what tables new to this version need."""
    if await _existing(connection) == set(ROLES):
        async with connection.transaction():
            await connection.execute(_grants())


async def _existing(connection: "asyncpg.Connection[asyncpg.Record]") -> set[str]:
    rows = await connection.fetch("SELECT rolname FROM pg_roles WHERE rolname = ANY($1)", ROLES)
    return {row["rolname"] for row in rows}


@cache
def _grants() -> str:
    return files(__package__).joinpath("roles.sql").read_text()
