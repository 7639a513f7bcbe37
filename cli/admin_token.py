"""The admin token that a platform of one's own begins with."""

from collections.abc import Callable

from cli.account import user
from cli.state import State, write_private
from control.tokens import Tokens
from pullarm.clock import system_clock
from pullarm.domain.access import digest
from pullarm.domain.audit import Author
from pullarm.storage.postgres import Database, PostgresExperiments, PostgresTokens


async def admin_token(state: State, dsn: str, report: Callable[[str], None]) -> str:
    """The state folder's admin token; made, and told this once, where there is none that the database knows."""
    path = state.admin_token
    async with Database(dsn, max_connections=1) as database:
        store = PostgresTokens(database)
        if path.exists():
            secret = path.read_text(encoding="utf-8").strip()
            if await store.of(digest(secret), system_clock()) is not None:
                return secret
        tokens = Tokens(store, PostgresExperiments(database), system_clock)
        made = await tokens.create({"name": "admin", "role": "admin"}, Author(user(), "command"))
    write_private(path, f"{made.token}\n")
    report(f"A new admin token, for the dashboard and the REST interface, kept in {path}:")
    report(f"  {made.token}")
    return made.token
