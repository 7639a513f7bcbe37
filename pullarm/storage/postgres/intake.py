"""Which of the events that serving numbered have come, so that what is lost is a number and not a guess, and up to when
all have."""

from collections.abc import Sequence
from datetime import datetime

from pullarm.domain.audit import Author
from pullarm.domain.decision import Span
from pullarm.domain.intake import Cut, Intake, watermark
from pullarm.storage.postgres import trail
from pullarm.storage.postgres.database import Connection, Database, queries
from pullarm.storage.postgres.times import at, ms

_SQL = queries("intake")


async def add(connection: Connection, spans: Sequence[Span], now: datetime) -> None:
    """Note that the events of these numbers are in the ledger, in the transaction that brings them.

    The rows are locked from here on, and every worker's batch has events of every process: so last of all.
    """
    if spans:
        columns = map(list, zip(*spans, strict=True))
        await connection.execute(_SQL["add"], *columns, now)


async def read(connection: Connection) -> list[Intake]:
    """What has come of each life of a serving process, by name."""
    return [
        Intake(
            process=row["process"],
            numbered=row["numbered"],
            gaps=tuple(zip(row["firsts"], row["ends"], strict=True)),
            lost=row["lost"],
            until_ms=row["until_ms"],
            spooled=row["spooled"],
            ended_ms=ms(row["ended_at"]) if row["ended_at"] else None,
            heard_ms=ms(row["heard_at"]),
            waited_for=row["waited_for"],
        )
        for row in await connection.fetch(_SQL["all"])
    ]


async def give_up(connection: Connection, process: str, first: int, end: int) -> None:
    """Wait no more for the events with these numbers."""
    await connection.execute(_SQL["give_up"], process, first, end)


class PostgresIntake:
    """What operators do about processes that are not heard of any more, and the cuts that verdicts are made on."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def dismiss(self, process: str, author: Author, now: datetime) -> bool:
        """Wait no more for a process, nor for any of its events, unless it is heard of again; False where none has this
        name."""
        async with self._database.transaction() as connection:
            found = bool(await connection.fetchval(_SQL["dismiss"], process))
            if found:
                await trail.record(connection, author, now, "give_up", ({}, {"process": process}))
        return found

    async def prune(self, before: datetime) -> int:
        """Forget processes that were not heard of since, where nothing of them is missing; how many."""
        async with self._database.connection() as connection:
            status: str = await connection.execute(_SQL["prune"], before)
        return int(status.rsplit(" ", 1)[1])

    async def cut(self, experiment: int, as_of: datetime) -> Cut:
        """The ledger of an experiment as it is, and up to when it is complete, in one look."""
        async with self._database.snapshot() as connection:
            fold_no: int = await connection.fetchval(_SQL["head"], experiment)
            mark = watermark(await read(connection), ms(as_of))
        return Cut(
            fold_no=fold_no,
            watermark=None if mark.at_ms is None else at(mark.at_ms),
            as_of=as_of,
            process=mark.process,
        )

    async def keep_cut(self, experiment: int, name: str, cut: Cut) -> Cut:
        """Keep a cut under a name; the first one that was kept under it stands, and is answered."""
        async with self._database.connection() as connection:
            await connection.execute(
                _SQL["keep_cut"],
                experiment,
                name,
                cut.fold_no,
                cut.watermark,
                cut.process,
                cut.as_of,
            )
        kept = await self.kept_cut(experiment, name)
        assert kept is not None  # cuts are never deleted
        return kept

    async def kept_cut(self, experiment: int, name: str) -> Cut | None:
        """The cut under this name; None where none was kept."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL["kept_cut"], experiment, name)
        return None if row is None else Cut(**row)
