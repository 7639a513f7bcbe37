"""`pullarm replay gate`: may a policy go live, by a log of others?"""

import sys
from typing import Annotated

import msgspec
from rich.console import Console
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
from cli.replay.evaluate import tell_findings
from cli.replay.progress import progress
from pullarm.domain.numerals import numeral
from replay.evaluation import Settings
from replay.gating import gate


def command(
    log: LogArgument,
    policy: PolicyOption,
    param: ParamOption = None,
    posterior: PosteriorOption = None,
    chosen_by: LoggedByOption = None,
    margin: Annotated[
        float, Option(min=0, max=1, help="How far below control is borne, as a share of its rate.")
    ] = 0.0,
    alpha: Annotated[
        float, Option(min=1e-6, max=0.5, help="A policy at the margin passes with half of this.")
    ] = 0.05,
    engine: EngineOption = "local",
    workers: WorkersOption = 1,
    json: Annotated[bool, Option("--json", help="One JSON object instead of lines.")] = False,
) -> None:
    """Exit with 0 only if the policy's lower bound clears control less a margin; 1 if not, 2 if the log cannot tell.

    The policy is estimated by DR, or by SNIPS where the candidates are not known. Control is what its own rows of the
    log earned; where it has none, the caller's first candidate is estimated in the same way. The bound is that of the
    difference, clustered by user.
    """
    asked = Asked.read(log, policy, param, posterior, chosen_by)
    with progress(f"evaluating {policy}", "rows") as done:
        verdict = gate(
            asked.log,
            asked.target,
            logged_by=asked.logged_by,
            margin=margin,
            settings=Settings(alpha=alpha),
            engine=engine_for(engine, workers, pieces=len(asked.log.parts)),
            done=done,
        )
    if json:
        said = asked.described() | {"margin": margin, "alpha": alpha}
        said |= msgspec.to_builtins(verdict)
        print(msgspec.json.encode(said | {"passes": verdict.passes}).decode())
    else:
        console = Console(width=None if sys.stdout.isatty() else 120)
        for whose, findings in verdict.findings.items():
            console.print(f"{whose}:")
            tell_findings(console, findings)
        if verdict.value is not None and verdict.bounds is not None:
            console.print(f"{policy} {verdict.value:.5f}, control {verdict.control:.5f} a row")
            console.print(
                f"{policy} less {1 - margin:.1%} of control: {numeral(verdict.bounds.lower, '+.5f')} to "
                f"{numeral(verdict.bounds.upper, '+.5f')}"
            )
        console.print("passes" if verdict.passes else "does not pass")
    sys.exit(0 if verdict.passes else 1 if verdict.bounds is not None else 2)
