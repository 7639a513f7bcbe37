"""Which of the events that serving numbered have come, so that what is lost is a number and not a guess."""

from collections.abc import Sequence

from pullarm.domain.decision import Span
from pullarm.domain.ports import Intake
from pullarm.storage.postgres.database import Connection, queries

_SQL = queries("intake")


async def add(connection: Connection, spans: Sequence[Span]) -> None:
    """Note that the events of these numbers are in the ledger, in the transaction that brings them.

    The rows are locked from here on, and every worker's batch has events of every process: so last of all.
    """
    if spans:
        columns = map(list, zip(*spans, strict=True))
        await connection.execute(_SQL["add"], *columns)


async def read(connection: Connection) -> list[Intake]:
    """What has come of each life of a serving process, by name."""
    return [
        Intake(
            process=row["process"],
            numbered=row["numbered"],
            gaps=tuple(zip(row["firsts"], row["ends"], strict=True)),
        )
        for row in await connection.fetch(_SQL["all"])
    ]
