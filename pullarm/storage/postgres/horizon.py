"""How far back the ledger reaches, once retention has removed days."""

from datetime import date
from typing import NamedTuple

from pullarm.storage.postgres.database import Connection, queries

_SQL = queries("horizon")


class Sealed(NamedTuple):
    """The days that are no longer folded into, and those that are gone."""

    until: date | None
    """Nothing is folded into this day or an earlier one."""
    removed: date | None
    """The last day whose rows are gone."""


async def sealed(connection: Connection) -> Sealed:
    """As of this moment."""
    row = await connection.fetchrow(_SQL["sealed"])
    assert row is not None  # an aggregate has one row
    return Sealed(row["sealed"], row["removed"])


async def horizon(connection: Connection, experiment: int) -> int:
    """The first fold whose posterior can be worked out, all later ones included; 0 where nothing was removed."""
    fold_no: int | None = await connection.fetchval(_SQL["horizon"], experiment)
    return fold_no or 0
