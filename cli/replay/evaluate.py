"""`pullarm replay evaluate`: what a policy would have earned on a log of others."""

import sys
from typing import Annotated

import msgspec
from rich.console import Console
from rich.table import Table
from typer import Option

from cli.replay.asked import (
    Asked,
    LogArgument,
    LoggedByOption,
    ParamOption,
    PolicyOption,
    PosteriorOption,
)
from cli.replay.engine import EngineOption, WorkersOption, engine_for
from cli.replay.progress import progress
from pullarm.domain.numerals import numeral
from replay.estimators import clipped_ips, dros, switch_dr
from replay.evaluating import evaluate
from replay.evaluation import Report, Settings
from replay.gates import Findings
from replay.intervals import bootstrap
from replay.intervals.base import Bounds

_BOUNDS = {
    "cressie_read": "Cressie-Read",
    "asymptotic": "at any time, asymptotic",
    "bernstein": "at any time, empirical Bernstein",
}


def command(
    log: LogArgument,
    policy: PolicyOption,
    param: ParamOption = None,
    posterior: PosteriorOption = None,
    chosen_by: LoggedByOption = None,
    alpha: Annotated[
        float, Option(min=1e-6, max=0.5, help="Intervals miss with this probability, each.")
    ] = 0.05,
    clip: Annotated[
        float, Option(min=1e-9, help="Clipped IPS: the largest weight.")
    ] = clipped_ips.LIMIT,
    switch: Annotated[
        float, Option(min=1e-9, help="SWITCH-DR: weights above it are left to the reward model.")
    ] = switch_dr.LIMIT,
    shrinkage: Annotated[
        float, Option(min=1e-9, help="DRos: how large w^2 is where a weight has shrunk to half.")
    ] = dros.SHRINKAGE,
    draws: Annotated[int, Option(min=1, max=100_000, help="Of the bootstrap.")] = bootstrap.DRAWS,
    seed: Annotated[int, Option(min=0, help="Of the bootstrap.")] = 0,
    engine: EngineOption = "local",
    workers: WorkersOption = 1,
    json: Annotated[bool, Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """Estimate what a policy would have earned on a log of others, in reward a row.

    SNIPS and DR are to be reported; DM is as good as its reward model, and a diagnostic. The reward model is learnt
    from earlier rows only. Weights are always told. Where they forbid an estimate (too few rows in effect, one row
    that decides, weights that are not 1 on average, propensities that do not fit the choices) there is no number, the
    reasons are, and the exit status is 2.
    """
    asked = Asked.read(log, policy, param, posterior, chosen_by)
    settings = Settings(
        alpha=alpha, clip=clip, switch=switch, shrinkage=shrinkage, draws=draws, seed=seed
    )
    with progress(f"evaluating {policy}", "rows") as done:
        report = evaluate(
            asked.log,
            asked.target,
            logged_by=asked.logged_by,
            settings=settings,
            engine=engine_for(engine, workers, pieces=len(asked.log.parts)),
            done=done,
        ).report()
    if json:
        said = asked.described() | {"alpha": alpha}
        said |= {"users_known": asked.log.head.users_known, "seed": seed}
        said |= msgspec.to_builtins(report)
        print(msgspec.json.encode(said | {"estimable": report.findings.estimable}).decode())
    else:
        console = Console(width=None if sys.stdout.isatty() else 120)
        tell_findings(console, report.findings)
        if report.findings.estimable:
            _tell(console, report, f"{policy} on {asked.log.head.name}", alpha)
    sys.exit(0 if report.findings.estimable else 2)


def tell_findings(console: Console, findings: Findings) -> None:
    """Print the weights, and why there is no estimate if there is none."""
    n, effective = findings.rounds, findings.effective_rounds
    calibration = findings.calibration_p
    known = "not known" if calibration is None else f"p = {calibration:.3f}"
    console.print(f"rounds           {n:>12,}   worth {effective:,.1f} under the weights")
    console.print(
        f"mean weight      {findings.mean_weight:>12.4f}   largest {findings.max_weight:,.3f}, "
        f"{findings.max_weight_share:.2%} of all"
    )
    console.print(f"least propensity {findings.least_propensity:>12.3g}   calibration {known}")
    for reason in findings.reasons:
        console.print(f"not estimable: {reason}", style="red", soft_wrap=True)


def _tell(console: Console, report: Report, title: str, alpha: float) -> None:
    level = f"{1 - alpha:.0%}"
    table = Table(title=f"{title}: reward a row", title_justify="left")
    for column in ("estimator", "value", f"{level} by users", f"{level} bootstrap"):
        table.add_column(column, justify="left" if column == "estimator" else "right")
    for name, each in report.estimates.items():
        pairs = _pair(each.normal), _pair(each.bootstrap)
        table.add_row(name, numeral(each.value, ".5f"), *pairs)
    console.print(table)
    for name, bounds in report.bounds.items():
        if bounds is not None:
            console.print(f"{level} {_BOUNDS[name]:<32} {_pair(bounds)}")


def _pair(bounds: Bounds) -> str:
    return f"{numeral(bounds.lower, '.5f')} to {numeral(bounds.upper, '.5f')}"
