"""Days are written to files before they are removed, and the files rewritten where a user is erased."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import TYPE_CHECKING, TypeVar

from pullarm.domain.analysis import DecisionFilter
from pullarm.domain.archive import NOTHING, ArchivedDay, ArchivedFile, Kind, PendingErasure
from pullarm.domain.errors import ConfigurationError, Conflict, PullarmError, Unavailable
from pullarm.domain.experiment import Experiment
from pullarm.environment import ARCHIVE, NO_ARCHIVE
from pullarm.storage.postgres import Database, PostgresExperiments
from pullarm.storage.postgres.archive import PostgresArchive, midnight, reward_schema
from pullarm.storage.postgres.export import PostgresExport

if TYPE_CHECKING:
    import pyarrow as pa

    from replay.archive import Archive

_log = logging.getLogger(__name__)
_WORKER = ThreadPoolExecutor(1, "archive")
_Done = TypeVar("_Done")


class Archiving:
    """Between the ledger and the files; without a place for them nothing is archived."""

    def __init__(self, database: Database, where: str) -> None:
        """`where` is a folder or a URL, "" for nowhere, NO_ARCHIVE for nowhere any more."""
        self._where = where
        self._opened: Archive | None = None
        self._store = PostgresArchive(database)
        self._experiments = PostgresExperiments(database)
        self._export = PostgresExport(database)

    async def keep(self, day: date) -> ArchivedDay | None:
        """Write all rows of a sealed day, and make sure of it; the same again writes them anew.

        None where days are not archived. Raises Conflict where a file is not what the ledger has, or where days were
        archived so far and nobody says that they shall be no more; Unavailable where a file cannot be written,
        ConfigurationError where none ever can.
        """
        archive = await self._archive()
        if archive is None:
            if not self._where and (await self._store.reach()).archiving:
                raise Conflict(
                    f"the days before {day} were archived, and {ARCHIVE} is not set: set it, or to {NO_ARCHIVE!r} to "
                    "remove days from now on without archiving them"
                )
            return None
        rebuilds = await self._store.rebuilds()
        files: list[ArchivedFile] = []
        by_number = {each.number: each.id for each in await self._experiments.all()}
        for number in await self._store.experiments(day):
            experiment = await self._experiments.get(by_number[number])
            files += await self._keep(archive, experiment, day)
        return ArchivedDay(files=files, rebuilds=rebuilds)

    async def _keep(
        self, archive: "Archive", experiment: Experiment, day: date
    ) -> Sequence[ArchivedFile]:
        from pullarm.storage.log_columns import schema

        kinds = await self._export.kinds(experiment)
        sought = DecisionFilter(since=midnight(day), until=midnight(day + timedelta(days=1)))
        sources = {
            Kind.DECISIONS: (schema(kinds), self._export.pages(experiment, kinds, sought)),
            Kind.REWARDS: (reward_schema(), self._store.rewards(experiment, day)),
        }
        files: list[ArchivedFile] = []
        for kind, (columns, pages) in sources.items():
            sums = await self._store.sums(experiment.number, day, kind, kinds)
            if sums.rows:
                file = ArchivedFile(
                    experiment=experiment.number,
                    experiment_id=experiment.id,
                    day=day,
                    kind=kind,
                    sums=sums,
                )
                await write(archive, file, columns, pages)
                files.append(file)
        return files

    async def erase(self) -> int:
        """Take the users out of the files who are erased from the ledger; how many files were rewritten.

        What was cut off is taken up again. Raises Busy where another process is at it, ConfigurationError where there
        is no place of files; as the first file that cannot be rewritten, Unavailable where it is missing or damaged
        and Conflict where it does not hold what it has to, after all others.
        """
        async with self._store.alone():
            pending: defaultdict[int, list[PendingErasure]] = defaultdict(list)
            for erasure in await self._store.erasures():
                pending[erasure.experiment].append(erasure)
            rewritten = 0
            problems: list[PullarmError] = []
            for number, erasures in pending.items():
                wrong: list[PullarmError] = []
                for file in await self._store.files(number):
                    archive = await self._erased_at()
                    try:
                        rewritten += await rewrite(archive, file, erasures)
                    except (Unavailable, Conflict) as error:
                        wrong.append(error)
                if not wrong:
                    for erasure in erasures:
                        await self._store.erased(erasure)
                problems += wrong
        if problems:
            raise problems[0]
        return rewritten

    async def _erased_at(self) -> "Archive":
        archive = await self._archive()
        if archive is None:
            raise ConfigurationError(
                f"files of removed days name users who were erased: set {ARCHIVE} to where they are"
            )
        return archive

    async def _archive(self) -> "Archive | None":
        """When it is needed: a worker folds without it, and without pyarrow's memory."""
        if self._opened is None and self._where not in {"", NO_ARCHIVE}:
            from replay.archive import Archive

            self._opened = await _step(Archive.at, self._where)
        return self._opened


async def write(
    archive: "Archive", file: ArchivedFile, columns: "pa.Schema", pages: "AsyncIterator[pa.Table]"
) -> None:
    """Write a file of these pages; raises Conflict, and changes nothing, where it is not what it has to be."""
    fresh = archive.writing(file, columns)
    try:
        await _step(fresh.open)
        async for page in pages:
            await _step(fresh.write, page)
        await _step(fresh.finish)
        held = NOTHING
        async for part in in_steps(fresh.sums()):
            held = held.plus(part)
        if held != file.sums:
            raise Conflict(
                f"{file.name} would hold {held}, and has to hold {file.sums}: it stays as it is, and so does its day; "
                "see `pullarm archive verify`"
            )
        await _step(fresh.put)
    finally:
        await _step(fresh.close)
    _log.info("archived %s, %d rows", file.name, file.sums.rows)


async def rewrite(
    archive: "Archive", file: ArchivedFile, erasures: Sequence[PendingErasure]
) -> bool:
    """Take these users out of a file; whether one was in it. A file without them is only read.

    Raises Unavailable where it is missing or damaged, Conflict where it does not hold what it has to.
    """
    async for found in in_steps(archive.names(file, erasures)):
        if found:
            break
    else:
        return False
    pages = in_steps(archive.without(file, erasures))
    await write(archive, file, await _step(archive.schema, file), pages)
    return True


async def in_steps(pages: Iterator[_Done]) -> AsyncIterator[_Done]:
    """What reads files, a page at a time and in a thread."""
    while (page := await _step(next, pages, None)) is not None:
        yield page


async def _step(work: Callable[..., _Done], *given: object) -> _Done:
    """Work on a file for a moment, on the one thread for that.

    Whoever is stopped goes on at once, and the step in hand to its end: what comes after it waits for that.
    """
    return await asyncio.get_running_loop().run_in_executor(_WORKER, work, *given)
