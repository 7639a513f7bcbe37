"""`pullarm token`: make, list and revoke tokens, directly in the database, so that the first one can be made."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import msgspec
from rich.console import Console
from rich.table import Table
from typer import Argument, Option, Typer

from cli.account import user
from cli.verify import database_url
from control.tokens import NewToken, Tokens, TokenView
from pullarm.clock import system_clock
from pullarm.domain.access import Role
from pullarm.domain.audit import Author
from pullarm.storage.postgres import Database, PostgresExperiments, PostgresTokens

StateFolder = Annotated[
    Path,
    Option(
        "--state", help="State folder of a running `pullarm up`, where DATABASE_URL is not set."
    ),
]
DEFAULT_STATE = Path(".pullarm")

command = Typer(
    help="Make, list and revoke tokens, directly in the database.", no_args_is_help=True
)


@command.command()
def create(
    name: Annotated[str, Option(help="Of who or what is to use it.")],
    role: Annotated[Role, Option(help="What it is for; caller: gRPC.")],
    experiment: Annotated[
        list[str] | None,
        Option(help="Id or key of what it is for, any number of times; none: all."),
    ] = None,
    expires_in_days: Annotated[float | None, Option(help="When it ends; else never.")] = None,
    state: StateFolder = DEFAULT_STATE,
) -> None:
    """Make a token and print its secret, which is shown this once and kept nowhere."""
    body = {
        "name": name,
        "role": role.value,
        "experiments": experiment or None,
        "expires_in_days": expires_in_days,
    }

    async def made() -> NewToken:
        async with _tokens(state) as tokens:
            return await tokens.create(body, Author(user(), "command"))

    token = asyncio.run(made())
    print(token.token)
    print(f"{token.id} is {token.name!r}, a token of role {token.role}", file=sys.stderr)


@command.command("list")
def show(
    json: Annotated[bool, Option("--json", help="One JSON array instead of a table.")] = False,
    state: StateFolder = DEFAULT_STATE,
) -> None:
    """List tokens, newest first, those that are revoked or expired among them."""

    async def listed() -> tuple[TokenView, ...]:
        async with _tokens(state) as tokens:
            return await tokens.all()

    found = asyncio.run(listed())
    if json:
        print(msgspec.json.encode(found).decode())
        return
    table = Table("id", "name", "role", "experiments", "created", "expires", "revoked", box=None)
    for token in found:
        moments = (token.created_at, token.expires_at, token.revoked_at)
        table.add_row(
            token.id,
            token.name,
            token.role,
            "all" if token.experiments is None else ", ".join(token.experiments),
            *("-" if moment is None else f"{moment:%Y-%m-%d %H:%M}" for moment in moments),
        )
    Console(markup=False).print(table)


@command.command()
def revoke(
    token: Annotated[str, Argument(help="Its id, as listed.")],
    state: StateFolder = DEFAULT_STATE,
) -> None:
    """Revoke a token for good; it ends within a second everywhere."""

    async def revoked() -> TokenView:
        async with _tokens(state) as tokens:
            return await tokens.revoke(token, Author(user(), "command"))

    ended = asyncio.run(revoked())
    print(f"{ended.id} ({ended.name}) is revoked since {ended.revoked_at}")


@asynccontextmanager
async def _tokens(state: Path) -> AsyncIterator[Tokens]:
    async with Database(database_url(state), max_connections=1) as database:
        yield Tokens(PostgresTokens(database), PostgresExperiments(database), system_clock)
