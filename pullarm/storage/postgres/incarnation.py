"""A new life of the ledger, after PostgreSQL was put back to an earlier state.

What was done since that state is gone here, and remembered elsewhere: serving holds posteriors and configurations, the
stream and callers hold decisions, all by numbers that this ledger would give out again for something else. A new life
therefore leaves out more numbers than can have been given out in the time that was lost; its identity, which is part of
every publication, makes workers and serving take everything anew. Only the numbers of arms follow on: posteriors are
vectors over them. Where an open catalogue has registered arms in the time that was lost, decisions of that time name
arms by numbers that others may get.
"""

from datetime import datetime
from uuid import UUID

from pullarm.storage.postgres.database import Connection


async def open_incarnation(connection: Connection, was: str, now: datetime) -> str | None:
    """Begin a new life of the ledger, in the caller's transaction; answers its incarnation.

    Args:
        connection: in a transaction, which should end soon: experiments cannot be changed before.
        was: the incarnation that is to end, as read before.
        now: aware; when this happens.

    None where another process has ended that one already: then nothing is changed.
    """
    opened: UUID | None = await connection.fetchval(
        "SELECT open_incarnation($1, $2)", UUID(was), now
    )
    return None if opened is None else str(opened)
