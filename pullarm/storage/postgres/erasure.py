"""Erasing a user from an experiment's ledger: who they were goes, what came of them stays."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from pullarm.domain.assignment import unit_of
from pullarm.domain.audit import Author, Difference
from pullarm.domain.erasure import Erased, StandIn, stand_in
from pullarm.domain.errors import Conflict
from pullarm.domain.experiment import Experiment
from pullarm.storage.postgres import archive
from pullarm.storage.postgres.database import Connection, Database, queries
from pullarm.storage.postgres.experiments import note_version, read_experiment
from pullarm.storage.postgres.times import at
from pullarm.storage.postgres.trail import record

_SQL = queries("erasure")
_TIMEOUT_S = 600.0
"""A day's decisions are read whole: nothing finds a user faster, because nothing else looks for one."""


class PostgresErasure:
    """Erases users."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def erase(
        self, experiment: Experiment, user_id: str, author: Author, now_ms: int
    ) -> Erased:
        """Replace what the ledger has of a user by something that leads back to nobody; every sum stays.

        Files of removed days follow: workers rewrite them.

        Raises Conflict while retention is about to remove a day with decisions of theirs.
        """
        number, now = experiment.number, at(now_ms)
        unit = unit_of(experiment.salt, user_id)
        instead = stand_in(experiment, unit.hash, unit.bucket)
        async with self._database.transaction() as connection:
            await connection.execute(_SQL["lock"], number)
            # Before anything is written: from then on the transaction is in the way of vacuuming.
            found = await _find(connection, number, unit.hash, user_id)
            theirs = [row["uid"] for row in found if row["theirs"]]
            try:
                await _rewrite(connection, theirs, unit.hash, instead)
                rewards = await _rename_rewards(connection, found, instead)
            except asyncpg.CheckViolationError as error:
                raise Conflict(
                    "retention is about to remove a day with decisions of this user; try again when it is gone"
                ) from error
            await connection.execute(_SQL["users"], number, unit.hash, instead.unit_hash)
            forced = await _free(connection, number, (user_id, instead.unit), author, now)
            await connection.execute(_SQL["note"], number, instead.unit_hash, now)
            erased = Erased(
                known_as=instead.unit,
                decisions=len(theirs),
                rewards=rewards,
                forced=forced,
                archived_days=await archive.erase(connection, number, unit.hash, instead, now),
            )
            # Not who they were, nor what leads there.
            change: Difference = {}, {"decisions": erased.decisions, "rewards": rewards}
            await record(connection, author, now, "erase", change, experiment=number)
        return erased


async def _find(
    connection: Connection, number: int, unit_hash: int, user_id: str
) -> list[asyncpg.Record]:
    """The user's decisions and those of all who were erased before, day by day: so no snapshot is a long one."""
    found: list[asyncpg.Record] = []
    for row in await connection.fetch(_SQL["days"]):
        found += await connection.fetch(
            _SQL["find"], number, unit_hash, user_id, row["day"], timeout=_TIMEOUT_S
        )
    return found


async def _rewrite(
    connection: Connection, uids: Sequence[UUID], unit_hash: int, instead: StandIn
) -> None:
    await connection.execute(
        _SQL["decisions"],
        uids,
        instead.unit_hash,
        instead.unit,
        instead.bucket,
        instead.secret,
        unit_hash,
        timeout=_TIMEOUT_S,
    )


async def _rename_rewards(
    connection: Connection, decisions: Sequence[asyncpg.Record], instead: StandIn
) -> int:
    """How many there were with an id of the caller's."""
    uids = [row["uid"] for row in decisions]
    status: str = await connection.execute(
        _SQL["rewards"], uids, instead.secret, timeout=_TIMEOUT_S
    )
    return int(status.rsplit(" ", 1)[1])


async def _free(
    connection: Connection, number: int, names: tuple[str, str], author: Author, now: datetime
) -> bool:
    """Give the user no policy or arm any more, and no version of it their name; whether they had one."""
    user_id, instead = names
    was = await read_experiment(connection, number)
    await connection.execute(_SQL["force"], number, user_id, instead)
    status: str = await connection.execute(_SQL["free"], number, user_id, now)
    freed = not status.endswith(" 0")
    if freed:
        became = await read_experiment(connection, number)
        await note_version(connection, "force", author, became, was)
    return freed
