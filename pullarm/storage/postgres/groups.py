"""Exclusion groups."""

import asyncpg
import msgspec

from pullarm.domain.assignment import MICRO
from pullarm.domain.audit import Author, Difference
from pullarm.domain.errors import NotFound, invalid
from pullarm.domain.groups import Group, held_out
from pullarm.storage.postgres.database import Database, queries
from pullarm.storage.postgres.experiments import note_version, read_experiment
from pullarm.storage.postgres.seats import FREE, group_of
from pullarm.storage.postgres.times import at
from pullarm.storage.postgres.trail import record

_SQL = queries("groups")


class PostgresGroups:
    """The group store in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, group: Group, author: Author) -> None:
        """Store a new group; raises InvalidInput where its name is taken."""
        row = group.name, group.salt, group.holdout_micro, group.created_at
        async with self._database.transaction() as connection:
            try:
                await connection.execute(_SQL["create"], *row)
            except asyncpg.UniqueViolationError as error:
                raise invalid("name", f"{group.name!r} is taken by another group") from error
            change: Difference = (
                {},
                {"group": group.name, "holdout_pct": group.holdout_micro / MICRO},
            )
            await record(connection, author, group.created_at, "create_group", change)

    async def all(self) -> list[Group]:
        """All, by name."""
        async with self._database.connection() as connection:
            return [group_of(row) for row in await connection.fetch(_SQL["all"])]

    async def hold_out(self, name: str, holdout_micro: int, author: Author, now_ms: int) -> Group:
        """Change a group's holdout, with a new version of each of its experiments; raises NotFound."""
        async with self._database.transaction() as connection:
            before = await connection.fetchrow(_SQL["lock"], name)
            if before is None:
                raise NotFound(f"there is no group {name!r}")
            row = await connection.fetchrow(_SQL["hold_out"], name, holdout_micro)
            assert row is not None  # locked above
            group = group_of(row)
            for member in await connection.fetch(_SQL["members"], name, FREE):
                was = await read_experiment(connection, member["experiment_id"])
                seats = msgspec.to_builtins(held_out(group, was.seats))
                await connection.execute(_SQL["reseat"], was.number, seats, at(now_ms))
                became = await read_experiment(connection, was.number)
                await note_version(connection, "hold_out", author, became, was)
            change = (
                {"group": name, "holdout_pct": before["holdout"] / MICRO},
                {"group": name, "holdout_pct": holdout_micro / MICRO},
            )
            await record(connection, author, at(now_ms), "hold_out", change)
        return group
