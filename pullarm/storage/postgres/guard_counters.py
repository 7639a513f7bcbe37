"""Guardrails' part of the statistics stage: users' sums from each start of a test on, and sums over draws.

The starts are rows, because a guard epoch begins when an operator says so: one is made by the step that first reaches
it, for decisions later than all that were counted before, so what a decision counts for never changes.
"""

from functools import cache

from asyncpg import Record

from pullarm.storage.postgres.database import Connection, queries

_SQL = queries("guard_counters")


async def count(connection: Connection, experiment: int, since: int | None) -> None:
    """Work out what the slots in `counted` change; `since` is the cursor, None where the tables are taken as empty."""
    await connection.execute(_SQL["prepare"])
    if since is not None:
        await connection.execute(_SQL["make_starts"], experiment)
    await connection.execute(_SQL["users"], experiment)
    if since is None:
        await connection.execute(_SQL["keep_users"], experiment)


async def add(connection: Connection, experiment: int, since: int | None, upto: int) -> None:
    """Add it to the tables."""
    for name, arguments in _arguments(experiment, since, upto).items():
        await connection.execute(_with_change("add", name), *arguments)
    await connection.execute(_SQL["add_users"])


async def forget(connection: Connection, experiment: int) -> None:
    """Empty the tables, but for what the ledger has no rows of any more."""
    await connection.execute(_SQL["forget"], experiment)


async def compare(
    connection: Connection, experiment: int, since: int | None, upto: int
) -> list[Record]:
    """Where the tables differ from what was to be added to empty ones."""
    rows = await connection.fetch(_SQL["compare_users"], experiment)
    for name, arguments in _arguments(experiment, since, upto).items():
        rows += await connection.fetch(_with_change("compare", name), *arguments)
    return rows


def _arguments(experiment: int, since: int | None, upto: int) -> dict[str, tuple[object, ...]]:
    """Of the query for each table."""
    return {
        "guard_sums": (experiment, since is not None),
        "guard_draws": (experiment, since, upto),
    }


@cache
def _with_change(what: str, name: str) -> str:
    return _SQL[f"{what}_{name}"].replace(f"{{{name}}}", _SQL[name])
