"""The places of experiments in groups."""

from collections.abc import Sequence

import asyncpg
import msgspec

from pullarm.domain.admission import Seat
from pullarm.domain.experiment import Spec
from pullarm.domain.groups import FREEING, Group, seats
from pullarm.storage.postgres.database import Connection, queries

_SQL = queries("groups")
FREE = [state.value for state in FREEING]


async def find_seats(
    connection: Connection, spec: Spec, number: int | None, before: Sequence[Seat]
) -> tuple[Seat, ...]:
    """The seats of an experiment that becomes this, a new one without a number; holds its groups until the end.

    Raises InvalidInput where there is no such group, or no room in it.
    """
    rows = await connection.fetch(_SQL["lock"], spec.group) if spec.group else []
    rows += await connection.fetch(_SQL["share"])
    members = await connection.fetch(_SQL["others"], spec.group, number, FREE)
    others = {row["id"]: _seat_in(row, spec.group) for row in members}
    return seats(spec, before, {row["name"]: group_of(row) for row in rows}, others)


def read_seats(row: asyncpg.Record) -> tuple[Seat, ...]:
    """From a row of `experiment`, or of one of its versions."""
    return msgspec.convert(row["seats"], tuple[Seat, ...])


def _seat_in(row: asyncpg.Record, group: str) -> Seat:
    return next(seat for seat in read_seats(row) if seat.group == group)


def group_of(row: asyncpg.Record) -> Group:
    """From a row of `experiment_group`."""
    return Group(
        name=row["name"],
        salt=row["salt"],
        holdout_micro=row["holdout"],
        created_at=row["created_at"],
    )
