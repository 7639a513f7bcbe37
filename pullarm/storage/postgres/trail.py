"""The audit trail: written by whatever changes something, in the transaction that changes it."""

from datetime import datetime

import asyncpg

from pullarm.domain.audit import AuditEntry, Author, Difference
from pullarm.storage.postgres.database import Connection, Database, queries

_SQL = queries("trail")


class PostgresTrail:
    """The audit trail in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, experiment: int | None, *, before: int | None, count: int
    ) -> list[AuditEntry]:
        """At most `count` entries with numbers below `before`, newest first; of one experiment, or of all there is."""
        async with self._database.connection() as connection:
            if experiment is None:
                rows = await connection.fetch(_SQL["page"], before, count)
            else:
                rows = await connection.fetch(_SQL["page_of"], before, count, experiment)
        return [_entry(row) for row in rows]

    async def since(self, experiment: int, config_no: int) -> list[AuditEntry]:
        """What made the versions of an experiment after this one, oldest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["since"], experiment, config_no)
        return [_entry(row) for row in rows]


async def record(
    connection: Connection,
    author: Author,
    at: datetime,
    action: str,
    change: Difference,
    *,
    experiment: int | None = None,
    config_no: int | None = None,
) -> None:
    """Add an entry, within the caller's transaction."""
    before, after = change
    note = {"note": author.note} if author.note else {}
    await connection.execute(
        _SQL["record"],
        at,
        author.actor,
        author.origin,
        author.address,
        experiment,
        config_no,
        action,
        before,
        {**after, **note},
    )


def _entry(row: asyncpg.Record) -> AuditEntry:
    return AuditEntry(
        audit_no=row["audit_no"],
        at=row["at"],
        actor=row["actor"],
        origin=row["origin"],
        address=row["address"],
        experiment=row["experiment_id"],
        config_no=row["config_no"],
        action=row["action"],
        before=row["before"],
        after=row["after"],
    )
