"""`pullarm check-log`: whether an exported log can be relied on."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from replay.check_log import Finding, LogCheck, found_again
from replay.log_file import read_log


def command(
    file: Annotated[Path, Argument(help="A log whose name ends in .parquet, .csv or .jsonl.")],
    most: Annotated[int, Option(min=1, help="Findings to print; all are counted.")] = 100,
) -> None:
    """Check every row of a log; prints what is wrong with which row, and fails if anything is.

    Checked are duplicates, slots in order, times, propensities as weight by total and in (0, 1], the floor where
    there is one, candidates and their hash, the chosen arm among them, and rewards inside their window.
    """
    log = LogCheck()
    found = _print(_findings(log, file), most)
    verdict = f"{found:,} findings" if found else "clean"
    print(f"{file}: {verdict}, {log.rows:,} rows of {log.decisions:,} decisions")
    sys.exit(1 if found else 0)


def _findings(log: LogCheck, file: Path) -> Iterator[Finding]:
    yield from log.check(read_log(file))
    if repeated := log.duplicates():
        yield from found_again(read_log(file), repeated)  # only now it is known which they are


def _print(findings: Iterable[Finding], most: int) -> int:
    count = 0
    for count, each in enumerate(findings, start=1):
        if count <= most:
            place = f"row {each.row}, decision {each.decision_uid} slot {each.slot}"
            print(f"{place}: {each.check}: {each.problem}")
    if count > most:
        print(f"and {count - most:,} more")
    return count
