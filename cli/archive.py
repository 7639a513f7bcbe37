"""`pullarm archive`: the files that retention leaves of removed days."""

import asyncio
import sys
from datetime import date
from pathlib import Path
from typing import Annotated

from typer import Argument, Option, Typer

from cli.moments import moment
from cli.verify import database_url, platform_setting
from pullarm.domain.archive import ArchivedFile
from pullarm.domain.errors import ConfigurationError, Unavailable
from pullarm.environment import ARCHIVE, NO_ARCHIVE
from pullarm.storage.postgres import Database, PostgresExperiments
from pullarm.storage.postgres.archive import PostgresArchive
from replay.archive import Archive
from workers.archive import Archiving

_KIB = 1024

StateFolder = Annotated[
    Path,
    Option(
        "--state",
        help=f"State folder of a running `pullarm up`, where DATABASE_URL or {ARCHIVE} is not set.",
    ),
]
OfExperiment = Annotated[str | None, Argument(help="Id or key; all when left out.")]
DEFAULT_STATE = Path(".pullarm")

command = Typer(
    help="List, check and rewrite the files of days that retention removed.", no_args_is_help=True
)


def archive_at(state: Path) -> Archive | None:
    """Where the files are; None where nobody says."""
    where = platform_setting(ARCHIVE, state)
    return None if where in ("", NO_ARCHIVE) else Archive.at(where)


@command.command("list")
def list_files(experiment: OfExperiment = None, state: StateFolder = DEFAULT_STATE) -> None:
    """List the files that there have to be, with rows and size."""
    archive = _needed(state)
    files = asyncio.run(_files(database_url(state), experiment))
    for file in files:
        size = archive.size(file)
        told = "missing" if size is None else f"{size / _KIB:,.0f} KiB"
        print(f"{file.name}  {file.sums.rows:,} rows  {told}")
    print(f"{len(files)} files")


@command.command()
def verify(experiment: OfExperiment = None, state: StateFolder = DEFAULT_STATE) -> None:
    """Read every file whole, and fail unless each holds what the ledger had of its day."""
    archive = _needed(state)
    files = asyncio.run(_files(database_url(state), experiment))
    wrong = 0
    for file in files:
        if problem := _problem(archive, file):
            wrong += 1
            print(f"{file.name}: {problem}")
    rows = sum(file.sums.rows for file in files)
    print(f"{len(files)} files, {rows:,} rows: {f'{wrong} differ' if wrong else 'clean'}")
    sys.exit(1 if wrong else 0)


@command.command()
def erase(state: StateFolder = DEFAULT_STATE) -> None:
    """Take users out of the files who were erased from the ledger; workers do so every half hour."""
    rewritten = asyncio.run(_erase(database_url(state), platform_setting(ARCHIVE, state)))
    print(f"{rewritten} files rewritten")


@command.command()
def forget(
    before: Annotated[str, Option(help="The first day that is kept, as 2026-08-01.")],
    experiment: OfExperiment = None,
    state: StateFolder = DEFAULT_STATE,
) -> None:
    """Delete the files of old days, for good."""
    archive, day = _needed(state), moment("--before", before).date()
    deleted = asyncio.run(_forget(database_url(state), archive, experiment, day))
    print(f"{deleted} files deleted")


def _needed(state: Path) -> Archive:
    archive = archive_at(state)
    if archive is None:
        raise ConfigurationError(
            f"{ARCHIVE} is not set and no platform that archives runs on {state}: set it to where the files are"
        )
    return archive


def _problem(archive: Archive, file: ArchivedFile) -> str | None:
    try:
        held = archive.sums(file)
    except Unavailable as error:
        return str(error)
    if held == file.sums:
        return None
    return f"holds {held}, and the ledger had {file.sums}"


async def _files(url: str, reference: str | None, before: date | None = None) -> list[ArchivedFile]:
    async with Database(url, max_connections=1) as database:
        return await _found(database, reference, before)


async def _found(
    database: Database, reference: str | None, before: date | None
) -> list[ArchivedFile]:
    number = None
    if reference is not None:
        number = (await PostgresExperiments(database).get(reference)).number
    return await PostgresArchive(database).files(number, until=before)


async def _erase(url: str, where: str) -> int:
    async with Database(url, max_connections=2) as database:
        return await Archiving(database, where).erase()


async def _forget(url: str, archive: Archive, reference: str | None, before: date) -> int:
    async with Database(url, max_connections=2) as database:
        store = PostgresArchive(database)
        async with store.alone():
            files = await _found(database, reference, before)
            for file in files:
                archive.remove(file)
                await store.forget(file)
        return len(files)
