"""`pullarm export`: an experiment's decisions with what came of them, as a log for analysis."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, NamedTuple

from typer import Argument, Option

from cli.archive import archive_at
from cli.moments import moment
from cli.verify import database_url
from pullarm.domain.analysis import DecisionFilter
from pullarm.domain.archive import Kind
from pullarm.domain.decision import uid_ms
from pullarm.domain.errors import invalid
from pullarm.domain.experiment import Experiment
from pullarm.environment import ARCHIVE
from pullarm.storage.postgres import Database, PostgresExperiments
from pullarm.storage.postgres.archive import PostgresArchive, midnight
from pullarm.storage.postgres.export import PostgresExport
from pullarm.storage.postgres.times import at
from replay.archive import Archive
from replay.log_file import LogFormat, log_writer

if TYPE_CHECKING:
    import pyarrow as pa

_DAY = timedelta(days=1)


def command(
    experiment: Annotated[str, Argument(help="Id or key.")],
    log_format: Annotated[
        LogFormat | None,
        Option("--format", help="Of the log; when left out as --out ends, and csv without --out."),
    ] = None,
    out: Annotated[
        Path | None, Option(help="File to write; standard output when left out (not parquet).")
    ] = None,
    since: Annotated[
        str | None, Option(help="First time of decision, as 2026-08-01 or 2026-08-01T12:00Z.")
    ] = None,
    until: Annotated[str | None, Option(help="First time of decision that is left out.")] = None,
    state: Annotated[
        Path, Option(help="State folder of a running `pullarm up`, where DATABASE_URL is not set.")
    ] = Path(".pullarm"),
) -> None:
    """Write every folded decision of an experiment with what its rewards came to: one row a slot, by time.

    Days that retention removed come from the archive, where PULLARM_ARCHIVE says where it is. Memory does not grow with
    the log, and folding is not held up. Times without a zone are UTC.
    """
    log_format = log_format or _named(out)
    if out is None and log_format is LogFormat.PARQUET:
        raise invalid("--out", "is needed with parquet; or write csv or jsonl to standard output")
    span = (
        None if since is None else moment("--since", since),
        None if until is None else moment("--until", until),
    )
    source = database_url(state), archive_at(state)
    with _opened(out) as stream:
        rows = asyncio.run(_export(source, experiment, span, log_format, stream))
    print(f"{rows:,} rows", file=sys.stderr)


def _named(out: Path | None) -> LogFormat:
    """As the file's name says."""
    if out is None:
        return LogFormat.CSV
    try:
        return LogFormat(out.suffix.lower().removeprefix("."))
    except ValueError:
        known = ", ".join(f".{each}" for each in LogFormat)
        raise invalid("--out", f"{out} ends in none of {known}: name a --format") from None


@contextmanager
def _opened(out: Path | None) -> Iterator[BinaryIO]:
    """Standard output; or the file, which appears once it is whole."""
    if out is None:
        yield sys.stdout.buffer
        return
    partial = out.with_name(f"{out.name}.part")
    try:
        with partial.open("wb") as stream:
            yield stream
        partial.replace(out)
    except OSError as error:
        raise invalid("--out", f"{out} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


async def _export(
    source: tuple[str, Archive | None],
    reference: str,
    span: tuple[datetime | None, datetime | None],
    log_format: LogFormat,
    stream: BinaryIO,
) -> int:
    url, archive = source
    async with Database(url, max_connections=2) as database:
        experiment = await PostgresExperiments(database).get(reference)
        sources = Sources(PostgresExport(database), PostgresArchive(database), archive)
        kinds = await sources.log.kinds(experiment)
        await _tell_reach(database, archive, span[0] or experiment.created_at)
        writer = log_writer(log_format, stream, kinds)
        rows = 0
        async for page in pages(sources, experiment, kinds, span):
            await asyncio.to_thread(writer.write, page)
            rows += len(page)
        writer.close()
    return rows


async def _tell_reach(database: Database, archive: Archive | None, since: datetime) -> None:
    reach = await PostgresArchive(database).reach()
    gone = reach.removed if archive is None else reach.lost
    if gone is not None and since < midnight(gone + _DAY):
        hint = f", and {ARCHIVE} is not set" if archive is None and reach.archiving else ""
        print(
            f"from {gone + _DAY} on: retention removed what was decided before{hint}",
            file=sys.stderr,
        )


class Sources(NamedTuple):
    """Where decisions are."""

    log: PostgresExport
    store: PostgresArchive
    archive: Archive | None


async def pages(
    sources: Sources,
    experiment: Experiment,
    kinds: Sequence[str],
    span: tuple[datetime | None, datetime | None],
) -> "AsyncIterator[pa.Table]":
    """Of files and of rows, each decision once; a day that is removed meanwhile goes on in its file."""
    last, removed = "", (await sources.store.reach()).removed
    while True:
        async for page in _archived(sources, experiment, kinds, span, last):
            yield page
            last = page["decision_uid"][-1].as_py()
        since = span[0] if not last else at(uid_ms(bytes.fromhex(last)))
        sought = DecisionFilter(since=since, until=span[1])
        was = removed
        async for page in sources.log.pages(experiment, kinds, sought):
            removed = (await sources.store.reach()).removed
            if removed != was and sources.archive is not None:
                break  # rows that were to come before this page may be gone
            if fresh := _after(last, page):
                yield fresh
                last = fresh["decision_uid"][-1].as_py()
        else:
            removed = (await sources.store.reach()).removed
        if removed == was or sources.archive is None:
            return


async def _archived(
    sources: Sources,
    experiment: Experiment,
    kinds: Sequence[str],
    span: tuple[datetime | None, datetime | None],
    last: str,
) -> "AsyncIterator[pa.Table]":
    """What files have of a span after the decision with this uid."""
    if sources.archive is None:
        return
    since, until = span
    end = _day(until)
    begin = at(uid_ms(bytes.fromhex(last))).date() if last else _day(since)
    for file in await sources.store.files(experiment.number, begin, end and end + _DAY):
        if file.kind is Kind.DECISIONS:
            batches = sources.archive.log(file, kinds, since, until)
            while (page := await asyncio.to_thread(next, batches, None)) is not None:
                if fresh := _after(last, page):
                    yield fresh


def _after(last: str, page: "pa.Table") -> "pa.Table":
    """The rows of decisions after the one with this uid."""
    if not last or not page or page["decision_uid"][0].as_py() > last:
        return page
    return page.filter([uid > last for uid in page["decision_uid"].to_pylist()])


def _day(moment: datetime | None) -> date | None:
    """As retention counts days."""
    return None if moment is None else moment.astimezone(UTC).date()
