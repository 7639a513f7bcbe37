"""`pullarm replay load`: a data set or log checked and written as Parquet."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from rich.console import Console
from typer import Option

from cli.replay.progress import progress
from pullarm.domain.errors import invalid
from replay import movielens
from replay.log import LogBatch, LogHead
from replay.log_table import LOG, LogSource, write_log
from replay.parquet import Head
from replay.ratings_file import RATINGS, write_ratings
from replay.readers.export import ExportReader
from replay.readers.obd import ObdReader
from replay.readers.table import TableReader
from replay.readers.vw import VwReader
from replay.sources import source_file


def command(
    out: Annotated[Path, Option(help="Folder to write, made if need be.")],
    ml: Annotated[
        Path | None, Option("--movielens", help="Folder with ml-1m's or ml-100k's own files.")
    ] = None,
    obd: Annotated[
        Path | None,
        Option(help="Open Bandit Dataset: the folder of a policy's campaign, as random/all."),
    ] = None,
    log: Annotated[
        Path | None, Option(help="What `pullarm export` wrote: .parquet, .csv or .jsonl.")
    ] = None,
    vw: Annotated[
        Path | None, Option(help="Vowpal Wabbit's contextual-bandit JSON lines, plain or dsjson.")
    ] = None,
    csv: Annotated[
        Path | None, Option(help="Any log as CSV with a line of column names; see --column.")
    ] = None,
    parquet: Annotated[Path | None, Option(help="Any log as Parquet; see --column.")] = None,
    column: Annotated[
        list[str] | None,
        Option(
            metavar="OURS=THEIRS", help="Of --csv or --parquet: a column's name; may be repeated."
        ),
    ] = None,
    every_arm: Annotated[
        bool,
        Option(
            "--every-arm", help="Of --csv or --parquet: each row could choose any arm of the file."
        ),
    ] = False,
    kind: Annotated[
        str | None, Option(help="Of --log: the kind of reward, where the log has several.")
    ] = None,
    json: Annotated[bool, Option("--json", help="One JSON object instead of lines.")] = False,
) -> None:
    """Read one data set or log, check all of it, and write it as Parquet with its counts and checksums.

    MovieLens becomes ratings (ratings.parquet, movies.parquet, users.parquet), anything else a log (log.parquet).
    A file that is cut off or malformed is refused with its line and what was expected, and nothing is written.

    Columns of --csv and --parquet: action, propensity and reward are needed, under these or other names; user, context,
    policy, slot, version, target, time, candidates and probabilities are known. Lists in CSV are separated by |.
    """
    given = {
        "--movielens": ml,
        "--obd": obd,
        "--log": log,
        "--vw": vw,
        "--csv": csv,
        "--parquet": parquet,
    }
    named = {name: path for name, path in given.items() if path is not None}
    if len(named) != 1:
        raise invalid(" ".join(named) or "source", f"give one of {', '.join(given)}")
    ((source, path),) = named.items()
    if (column or every_arm) and source not in ("--csv", "--parquet"):
        raise invalid("--column" if column else "--every-arm", "belongs to --csv or --parquet")
    if kind is not None and source != "--log":
        raise invalid("--kind", "belongs to --log")
    reader: LogSource
    match source:
        case "--movielens":
            _tell(_ratings(path, out), json=json)
            return
        case "--obd":
            reader = ObdReader(path)
        case "--log":
            reader = ExportReader(path, kind)
        case "--vw":
            reader = VwReader(path)
        case _:
            columns = _columns(column or [])
            reader = TableReader(path, columns, csv=source == "--csv", every_arm=every_arm)
    _tell(_log(reader, out), json=json)


def _columns(said: list[str]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for each in said:
        ours, equals, theirs = each.partition("=")
        if not equals or not theirs or ours in columns:
            raise invalid("--column", f"{each!r} is not OURS=THEIRS, each of ours once")
        columns[ours] = theirs
    return columns


def _ratings(folder: Path, out: Path) -> dict[str, Any]:
    with progress("MovieLens", "files") as done:
        ratings = movielens.load(folder)
        files = movielens.source_files(folder)
        done(len(files))
        head: Head = write_ratings(out, ratings, tuple(map(source_file, files)))
    return {
        "kind": head.kind,
        "name": head.name,
        "written": str(out / RATINGS),
        "counts": head.counts,
        "warning": movielens.shortfall(ratings),
        "sources": head.sources,
    }


def _log(source: LogSource, out: Path) -> dict[str, Any]:
    with progress("log", "rows") as done:

        def counted() -> Iterator[LogBatch]:
            for batch in source.batches():
                yield batch
                done(len(batch))

        head: LogHead = write_log(out, source, counted())
    return {
        "kind": "bandit log",
        "name": head.name,
        "written": str(out / LOG),
        "counts": {"used": head.rows, "arms": len(head.arms), **head.counts},
        "warning": _unlike(head),
        "offered": head.offered,
        "users_known": head.users_known,
        "policies": head.policies,
        "sources": head.sources,
    }


def _unlike(head: LogHead) -> str | None:
    late = head.counts.get("out_of_order", 0)
    return (
        f"{late:,} rows are earlier than the row before: learners go by the order of rows"
        if late
        else None
    )


def _tell(told: dict[str, Any], *, json: bool) -> None:
    if json:
        print(msgspec.json.encode(told).decode())
        return
    if told["warning"]:
        Console(stderr=True).print(f"warning: {told['warning']}", markup=False, soft_wrap=True)
    print(f"{told['name']}: {told['kind']} in {told['written']}")
    for name, count in told["counts"].items():
        print(f"  {name.replace('_', ' '):<14}{count:>12,}")
    if told["kind"] == "bandit log":
        users = "known" if told["users_known"] else "not known: each row counts as one"
        print(
            f"  candidates: {told['offered']}; users: {users}; chosen by: {', '.join(told['policies'])}"
        )
    for each in told["sources"]:
        print(f"  {each.name}: {each.bytes:,} bytes, SHA-256 {each.sha256}")
    sys.stdout.flush()
