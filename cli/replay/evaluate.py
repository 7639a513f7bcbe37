"""`pullarm replay evaluate`: what a policy would have earned on a log of others."""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
from rich.console import Console
from rich.table import Table
from typer import Argument, Option

from cli.replay.progress import progress
from cli.replay.target import LOGGED_BY_HELP, POLICY_HELP, POSTERIOR_HELP, logged_by, target
from replay.estimators import clipped_ips, dros, switch_dr
from replay.evaluation import Report, Settings, evaluate
from replay.gates import Findings
from replay.intervals import bootstrap
from replay.intervals.base import Bounds
from replay.log_table import open_log

_BOUNDS = {
    "cressie_read": "Cressie-Read",
    "asymptotic": "at any time, asymptotic",
    "bernstein": "at any time, empirical Bernstein",
}


def command(
    log: Annotated[
        Path, Argument(help="What `pullarm replay load` wrote: the folder or the file.")
    ],
    policy: Annotated[str, Option(help=POLICY_HELP)],
    param: Annotated[
        list[str] | None, Option(metavar="NAME=VALUE", help="Of the policy; may be repeated.")
    ] = None,
    posterior: Annotated[Path | None, Option(help=POSTERIOR_HELP)] = None,
    chosen_by: Annotated[list[str] | None, Option("--logged-by", help=LOGGED_BY_HELP)] = None,
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
    json: Annotated[bool, Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """Estimate what a policy would have earned on a log of others, in reward a row.

    SNIPS and DR are to be reported; DM is as good as its reward model, and a diagnostic. The reward model is learnt
    from earlier rows only. Weights are always told. Where they forbid an estimate (too few rows in effect, one row
    that decides, weights that are not 1 on average, propensities that do not fit the choices) there is no number, the
    reasons are, and the exit status is 2.
    """
    opened = open_log(log)
    settings = Settings(
        alpha=alpha, clip=clip, switch=switch, shrinkage=shrinkage, draws=draws, seed=seed
    )
    evaluated = target(opened.head, policy, param or [], posterior)
    used = logged_by(opened.head, chosen_by)
    with progress(f"evaluating {policy}", "rows") as done:
        report = evaluate(opened, evaluated, logged_by=used, settings=settings, done=done).report()
    if json:
        said = {"log": opened.head.name, "policy": policy, "logged_by": used, "alpha": alpha}
        said |= {"users_known": opened.head.users_known, "seed": seed}
        said |= msgspec.to_builtins(report)
        print(msgspec.json.encode(said | {"estimable": report.findings.estimable}).decode())
    else:
        console = Console(width=None if sys.stdout.isatty() else 120)
        tell_findings(console, report.findings)
        if report.findings.estimable:
            _tell(console, report, f"{policy} on {opened.head.name}", alpha)
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
        table.add_row(name, f"{each.value:.5f}", _pair(each.normal), _pair(each.bootstrap))
    console.print(table)
    for name, bounds in report.bounds.items():
        if bounds is not None:
            console.print(f"{level} {_BOUNDS[name]:<32} {_pair(bounds)}")


def _pair(bounds: Bounds) -> str:
    return f"{bounds.lower:.5f} to {bounds.upper:.5f}"
