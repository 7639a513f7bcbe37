"""`pullarm replay window`: the busiest days in a set of ratings."""

import sys
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
from rich.console import Console
from rich.table import Table
from typer import Argument, Option

from pullarm.domain.errors import invalid
from replay import window
from replay.ratings import Ratings
from replay.ratings_file import open_ratings
from replay.window import Grid, Measure
from replay.window_facts import WindowFacts, describe, write_arms


def command(
    folder: Annotated[
        Path, Argument(help="What `pullarm replay load` wrote, or MovieLens's own files.")
    ],
    by: Annotated[Measure, Option(help="What the best window has most of.")] = "ratings",
    grid: Annotated[
        Grid,
        Option(help="Where windows start; first and midnight lie back to back, the others slide."),
    ] = "event",
    days: Annotated[int, Option(min=1, max=3_650, help="Length of a window.")] = 14,
    top: Annotated[int, Option(min=1, max=10_000, help="Movies of the table.")] = 50,
    everything: Annotated[
        bool, Option("--all", help="The best windows of every grid, by ratings and by users.")
    ] = False,
    csv: Annotated[Path | None, Option(help="Write the table of movies to this file.")] = None,
    json: Annotated[bool, Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """Find the window of --days days with the most ratings or users, and its most-rated movies.

    Windows are half open, in UTC. Among equals the earliest window wins, and among movies rated equally often the
    smaller id. Grids: first, back to back from the first rating; midnight, back to back from 00:00 of its day; day,
    from every 00:00; event, from the time of every rating.
    """
    if everything and csv is not None:
        raise invalid("--csv", "takes the table of one window; leave out --all")
    ratings = open_ratings(folder)
    asked = (
        [(on, measure) for on in get_args(Grid) for measure in get_args(Measure)]
        if everything
        else [(grid, by)]
    )
    found = [_best(ratings, on, measure, days, top) for on, measure in asked]
    if csv is not None:
        _write(csv, found[0][2])
    if json:
        print(msgspec.json.encode(_document(ratings, days, found, everything)).decode())
        return
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(_windows(ratings, days, found))
    if not everything:
        console.print(_movies(found[0][2]))


_Found = tuple[Grid, Measure, WindowFacts]


def _best(ratings: Ratings, grid: Grid, by: Measure, days: int, top: int) -> _Found:
    best = window.busiest(ratings, days=days, by=by, grid=grid)
    return grid, by, describe(ratings, best, count=top)


def _write(path: Path, facts: WindowFacts) -> None:
    try:
        with path.open("w", encoding="utf-8", newline="") as stream:
            write_arms(stream, facts.top.arms)
    except OSError as error:
        raise invalid("--csv", f"{path} cannot be written: {error.strerror}") from error


def _document(ratings: Ratings, days: int, found: list[_Found], everything: bool) -> dict[str, Any]:
    windows = [{"grid": grid, "by": by, **msgspec.to_builtins(facts)} for grid, by, facts in found]
    head = {"name": ratings.name, "days": days, "counts": ratings.counts}
    return {**head, "windows": windows} if everything else {**head, **windows[0]}


def _windows(ratings: Ratings, days: int, found: list[_Found]) -> Table:
    table = Table(
        title=f"{ratings.name}: best {days} days of {len(ratings):,} ratings", title_justify="left"
    )
    for column in ("grid", "by", "from (UTC)"):
        table.add_column(column)
    for column in ("ratings", "users", "movies", "CTR", "top CTR", "uniform", "best arm"):
        table.add_column(column, justify="right")
    for grid, by, facts in found:
        counts = (f"{each:,}" for each in (facts.ratings, facts.users, facts.movies))
        best = facts.top.best_fixed_arm
        rates = (facts.ctr, facts.top.ctr, facts.top.uniform_arm_value, best.like_rate)
        start = facts.start_utc.removesuffix("Z").replace("T", " ")
        table.add_row(grid, by, start, *counts, *(f"{rate:.4f}" for rate in rates))
    return table


def _movies(facts: WindowFacts) -> Table:
    table = Table(title=f"the {len(facts.top.arms)} movies rated most", title_justify="left")
    for column in ("", "movie", "ratings", "likes", "rate"):
        table.add_column(column, justify="right")
    table.add_column("title")
    for arm in facts.top.arms:
        counts = (str(each) for each in (arm.rank, arm.movie, arm.n, arm.likes))
        table.add_row(*counts, f"{arm.like_rate:.4f}", arm.title)
    return table
