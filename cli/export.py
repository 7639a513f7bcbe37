"""`pullarm export`: an experiment's decisions with what came of them, as a log for analysis."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO

from typer import Argument, Option

from cli.moments import moment
from cli.verify import database_url
from pullarm.domain.analysis import DecisionFilter
from pullarm.domain.errors import invalid
from pullarm.storage.postgres import Database, PostgresExperiments
from pullarm.storage.postgres.export import PostgresExport
from replay.log_file import LogFormat, log_writer


def command(
    experiment: Annotated[str, Argument(help="Id or key.")],
    log_format: Annotated[LogFormat, Option("--format", help="Of the log.")] = LogFormat.PARQUET,
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

    Memory does not grow with the log, and folding is not held up. Times without a zone are UTC.
    """
    if out is None and log_format is LogFormat.PARQUET:
        raise invalid("--out", "is needed with parquet; or write csv or jsonl to standard output")
    span = (
        None if since is None else moment("--since", since),
        None if until is None else moment("--until", until),
    )
    url = database_url(state)
    with _opened(out) as stream:
        rows = asyncio.run(_export(url, experiment, span, log_format, stream))
    print(f"{rows:,} rows", file=sys.stderr)


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
    url: str,
    reference: str,
    span: tuple[datetime | None, datetime | None],
    log_format: LogFormat,
    stream: BinaryIO,
) -> int:
    async with Database(url, max_connections=1) as database:
        experiment = await PostgresExperiments(database).get(reference)
        log = PostgresExport(database)
        reaches = await log.reaches_back_to()
        if reaches and (span[0] or experiment.created_at) < reaches:
            print(
                f"from {reaches:%Y-%m-%d} on: retention removed what was decided before",
                file=sys.stderr,
            )
        kinds = await log.kinds(experiment)
        writer = log_writer(log_format, stream, kinds)
        rows, sought = 0, DecisionFilter(since=span[0], until=span[1])
        async for page in log.pages(experiment, kinds, sought):
            await asyncio.to_thread(writer.write, page)
            rows += len(page)
        writer.close()
    return rows
