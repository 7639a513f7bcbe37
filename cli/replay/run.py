"""`pullarm replay run`: policies over data that is already there, again and again."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from rich.console import Console
from rich.table import Table
from typer import Argument, Option

from cli.replay.engine import EngineOption, WorkersOption, engine_for
from cli.replay.progress import progress
from pullarm.domain.errors import invalid
from pullarm.domain.numerals import numeral
from replay import movielens, rejection, run_file, simulated_log, window
from replay.comparison import Estimate
from replay.learning import Candidate, Setting
from replay.log_table import LOG, open_log
from replay.ratings import Ratings
from replay.ratings_file import RATINGS, open_ratings
from replay.run_file import Results, Under
from replay.runs import Plan, World
from replay.sources import SourceFile, source_file
from replay.truth import Truth
from replay.visits import Visits
from replay.window import Grid, Measure

_POLICIES = ("thompson", "egreedy", "ucb", "control")
Way = Literal["truth", "rejection", "logger"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the world is to be made of."""

    way: Way
    by: Measure
    grid: Grid
    days: int
    whole: bool
    top: int
    visits: int | None
    handful: int
    seed: int


def command(
    data: Annotated[
        Path, Argument(help="What `pullarm replay load` wrote, or MovieLens's own files.")
    ],
    out: Annotated[Path, Option(help="Folder to write the results to, made if need be.")],
    way: Annotated[
        Way,
        Option(help="truth, rejection, or logger: truth, with a log of each policy's first run."),
    ] = "truth",
    policy: Annotated[
        list[str] | None,
        Option(
            metavar="NAME[:PARAM=VALUE,...]",
            help=f"May be repeated; {', '.join(_POLICIES)} unless given.",
        ),
    ] = None,
    every: Annotated[
        list[int] | None,
        Option(min=1, help="Decisions between publications; repeated: each (100)."),
    ] = None,
    delay_min: Annotated[
        list[float] | None,
        Option(min=0, help="Mean delay of rewards in minutes; repeated: each (0)."),
    ] = None,
    runs: Annotated[int, Option("--seeds", min=1, max=10_000, help="Runs of each policy.")] = 20,
    seed: Annotated[int, Option(min=0, help="Of all runs.")] = 1,
    visits: Annotated[
        int | None,
        Option(
            min=1, help="Of truth: visits a run; as many as the window has ratings if not given."
        ),
    ] = None,
    handful: Annotated[int, Option(min=2, help="Of truth: arms offered to a visitor.")] = 10,
    by: Annotated[Measure, Option(help="What the window has most of.")] = "ratings",
    grid: Annotated[Grid, Option(help="Where windows start; see `window`.")] = "event",
    days: Annotated[int, Option(min=1, max=3_650, help="Length of the window.")] = 14,
    whole: Annotated[bool, Option("--whole", help="All ratings instead of a window.")] = False,
    top: Annotated[int, Option(min=2, max=10_000, help="Movies that are arms.")] = 50,
    engine: EngineOption = "local",
    workers: WorkersOption = None,
    json: Annotated[bool, Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """Run policies with serving's own weights and draw, learning as in production, and tell what they earned.

    truth: users are offered some of the arms that they rated, and whatever is shown earns 1 if they gave it 4 or more.
    rejection: logged events count where the policy would have chosen their arm itself. Runs of one number have the same
    visits and draws under every policy. Results are the same wherever the runs are done.
    """
    asked = _Asked(
        way=way,
        by=by,
        grid=grid,
        days=days,
        whole=whole,
        top=top,
        visits=visits,
        handful=handful,
        seed=seed,
    )
    plan = _plan(policy or list(_POLICIES), every or [100], delay_min or [0.0], runs, seed)
    world, sources = _world(data, asked)
    spread = engine_for(engine, workers, pieces=len(plan.tasks))
    with progress(way, f"of {len(plan.tasks):,} runs") as done:
        ran = run_file.execute(world, plan, engine=spread, done=done)
    results = run_file.told(world, plan, ran, arguments=_arguments(asked, plan), sources=sources)
    if way == "logger" and isinstance(world, Truth):
        simulated_log.write(out, world, plan)
    run_file.write(out, results, ran)
    if json:
        print(msgspec.json.encode(results).decode())
    else:
        _tell(Console(width=None if sys.stdout.isatty() else 120), results)
        print(f"results in {out}")


def _plan(
    policies: list[str], every: list[int], delay_min: list[float], runs: int, seed: int
) -> Plan:
    try:
        candidates = tuple(map(Candidate.read, policies))
    except ValueError as error:
        raise invalid("--policy", str(error)) from error
    settings = tuple(Setting(every=each, delay_min=delay) for each in every for delay in delay_min)
    try:
        return Plan(candidates=candidates, settings=settings, runs=runs, seed=seed)
    except ValueError as error:
        raise invalid("--policy", str(error)) from error


def _world(data: Path, asked: _Asked) -> tuple[World, tuple[SourceFile, ...]]:
    with progress("reading", "files") as done:
        if data.is_file() or (data / LOG).exists():
            if asked.way != "rejection":
                raise invalid("--way", f"{asked.way} needs ratings, and {data} is a log")
            file = data if data.is_file() else data / LOG
            return rejection.from_log(open_log(data)), (source_file(file),)
        ratings = open_ratings(data)
        loaded = (data / RATINGS).exists()
        files = (data / RATINGS,) if loaded else movielens.source_files(data)
        done(len(files))
        chosen = window.whole(ratings) if asked.whole else _busiest(ratings, asked)
        return _of_ratings(ratings, chosen, asked), tuple(map(source_file, files))


def _busiest(ratings: Ratings, asked: _Asked) -> window.Window:
    return window.busiest(ratings, days=asked.days, by=asked.by, grid=asked.grid)


def _of_ratings(ratings: Ratings, chosen: window.Window, asked: _Asked) -> World:
    events = rejection.from_ratings(ratings, chosen, count=asked.top)
    if asked.way == "rejection":
        return events
    arms = [int(arm.id) for arm in events.arms]
    handful = min(asked.handful, len(arms))
    return Truth(
        visits=Visits(ratings, arms, seed=asked.seed, handful=handful),
        n_events=asked.visits or events.n_events,
        days=events.days if asked.whole else asked.days,
    )


def _arguments(asked: _Asked, plan: Plan) -> list[str]:
    """Everything that decides the results but the data, as words of the command."""
    words = ["--way", asked.way]
    for candidate in plan.candidates:
        words += ["--policy", candidate.label]
    for each in dict.fromkeys(setting.every for setting in plan.settings):
        words += ["--every", str(each)]
    for delay in dict.fromkeys(setting.delay_min for setting in plan.settings):
        words += ["--delay-min", f"{delay:g}"]
    words += ["--seeds", str(plan.runs), "--seed", str(plan.seed), "--top", str(asked.top)]
    words += ["--handful", str(asked.handful)]
    if asked.visits is not None:
        words += ["--visits", str(asked.visits)]
    if asked.whole:
        return [*words, "--whole"]
    return [*words, "--by", asked.by, "--grid", asked.grid, "--days", str(asked.days)]


def _tell(console: Console, results: Results) -> None:
    console.print(results.data, highlight=False, markup=False)
    for under in results.under:
        console.print(_table(results, under))


def _table(results: Results, under: Under) -> Table:
    setting = under.setting
    title = f"{results.way}: {results.runs} runs, published every {setting.every:,} decisions"
    if setting.delay_min:
        title += f", rewards {setting.delay_min:g} min late"
    table = Table(title=title, title_justify="left")
    table.add_column("policy")
    for column in ("decisions", "rate", "95 %", "less control", "regret", "entropy"):
        table.add_column(column, justify="right")
    for label, each in under.policies.items():
        table.add_row(
            label,
            f"{each.decisions:,.0f}",
            f"{each.rate.value or 0.0:.4f}",
            _pair(each.rate),
            "" if each.less_control is None else _signed(each.less_control),
            numeral(each.regret.value or 0.0, "+.4f"),
            f"{each.entropy:.3f}",
        )
    return table


def _pair(estimate: Estimate) -> str:
    if estimate.lower is None:
        return ""
    return f"{estimate.lower:.4f} to {estimate.upper:.4f}"


def _signed(estimate: Estimate) -> str:
    half = "" if estimate.upper is None else f" ± {estimate.upper - (estimate.value or 0.0):.4f}"
    return f"{numeral(estimate.value or 0.0, '+.4f')}{half}"
