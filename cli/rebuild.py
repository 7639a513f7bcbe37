"""`pullarm rebuild`: un-learning. Posteriors made anew from the ledger, with rows of it left out."""

import asyncio
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from typer import Argument, Option

from cli.account import user
from cli.moments import moment
from cli.rebuild_report import JsonReport, TableReport
from cli.state import surroundings
from cli.verify import database_url
from pullarm.clock import clock_from
from pullarm.domain.audit import Author
from pullarm.domain.errors import invalid
from pullarm.domain.rebuild import Exclusion, Restoration
from pullarm.storage.postgres import (
    Database,
    PostgresExperiments,
    PostgresRepair,
    PostgresStatistics,
)
from pullarm.storage.postgres.times import at


def command(
    experiment: Annotated[str, Argument(help="Id or key.")],
    until: Annotated[
        str | None,
        Option(help="As if nothing had come since this time, of decisions, rewards and voids."),
    ] = None,
    exclude_source: Annotated[
        str | None, Option(help="Leave out the rewards of this source, those to come as well.")
    ] = None,
    exclude_window: Annotated[
        tuple[str, str] | None,
        Option(
            metavar="FROM TO",
            help="Leave out what was decided, and rewards received, from a time to before another.",
        ),
    ] = None,
    restore: Annotated[
        int | None, Option(metavar="NO", help="Take in again what rebuild NO left out.")
    ] = None,
    listed: Annotated[
        bool, Option("--list", help="Show past rebuilds, and change nothing.")
    ] = False,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Show what would change, and change nothing.")
    ] = False,
    yes: Annotated[bool, Option("--yes", help="Do not ask.")] = False,
    note: Annotated[str, Option(help="Why, for the audit trail.")] = "",
    json: Annotated[bool, Option("--json", help="One JSON object instead of tables.")] = False,
    state: Annotated[
        Path, Option(help="State folder of a running `pullarm up`, where DATABASE_URL is not set.")
    ] = Path(".pullarm"),
) -> None:
    """Make the posteriors of an experiment anew from the ledger, and swap them in under a new version.

    What is left out is read as if it had never come, from now on, by everything that looks at the ledger; nothing is
    deleted, and --restore takes it back. Several conditions leave out what meets all of them: with --exclude-source and
    --exclude-window, the rewards of that source that were received in that window. An excluded decision counts like a
    voided one: it teaches nothing, nor do its rewards whenever they come. Without any condition nothing is left out:
    that repairs a damaged posterior. What is folded after a rebuild with --until is learned from again.

    Folding goes on meanwhile, but for a moment at the end. Times without a zone are UTC.
    """
    environment = surroundings(state)
    now = at(clock_from(environment.get("PULLARM_CLOCK", "system"))())
    conditions = (until, exclude_source, exclude_window)
    alone = "--list" if listed else "--restore" if restore is not None else None
    besides = (*conditions, restore) if listed else conditions
    if alone is not None and any(one is not None for one in besides):
        raise invalid(alone, "takes no condition besides")
    asks = not (listed or dry_run or yes)
    if asks and (json or not sys.stdin.isatty()):
        raise invalid("--yes", "is needed with --json or without a terminal; or use --dry-run")
    change = Restoration(restore) if restore is not None else _exclusion(*conditions, now)
    report = JsonReport() if json else TableReport(Console())
    work = Work(change, Author(user(), "command", note), now, report)
    url = database_url(state)
    if listed:
        asyncio.run(work.list(url, experiment))
    elif not asyncio.run(work.rebuild(url, experiment, dry_run=dry_run, asks=asks)):
        sys.exit("pullarm: nothing was changed")


def _exclusion(
    until: str | None, source: str | None, window: tuple[str, str] | None, now: datetime
) -> Exclusion:
    then = None if until is None else moment("--until", until)
    if then is not None and then > now:
        raise invalid("--until", f"{until} is in the future; it is {now:%Y-%m-%dT%H:%M:%S}Z")
    from_at, to_at = (
        (None, None) if window is None else [moment("--exclude-window", each) for each in window]
    )
    if from_at is not None and to_at is not None and from_at >= to_at:
        raise invalid("--exclude-window", f"{window} ends before it begins; give FROM, then TO")
    return Exclusion(source=source, from_at=from_at, to_at=to_at, until=then)


@dataclass(frozen=True, slots=True)
class Work:
    """One rebuild, and whom to tell of it."""

    change: Exclusion | Restoration
    author: Author
    now: datetime
    report: JsonReport | TableReport

    async def list(self, url: str, reference: str) -> None:
        """Tell of past rebuilds."""
        async with Database(url, max_connections=1) as database:
            experiment = await PostgresExperiments(database).get(reference)
            self.report.past(experiment, await PostgresRepair(database).past(experiment.number))

    async def rebuild(self, url: str, reference: str, *, dry_run: bool, asks: bool) -> bool:
        """Rebuild and tell of it; False where whoever was asked said no."""
        async with Database(url, max_connections=1) as database:
            experiment = await PostgresExperiments(database).get(reference)
            repair = PostgresRepair(database)
            if dry_run or asks:
                seen = await repair.preview(experiment.number, self.change)
                self.report.changes(experiment, seen, done=False)
                if dry_run:
                    return True
                if not typer.confirm("Swap it in?"):
                    return False
            rebuilt = await repair.rebuild(experiment.number, self.change, self.author, self.now)
            if self.change == Exclusion():  # else the workers take it up, as they do folds
                await PostgresStatistics(database).rebuild(experiment.number)
            self.report.changes(experiment, rebuilt, done=True)
            return True
