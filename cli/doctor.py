"""`pullarm doctor`: the checklist before a launch, gone through."""

import asyncio
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import msgspec
from rich.console import Console
from rich.text import Text
from typer import Option

from cli.examination import Patient, examine
from cli.state import surroundings
from pullarm.domain.finding import Finding, Standing

_STYLES = {Standing.OK: "green", Standing.WARNING: "yellow", Standing.PROBLEM: "bold red"}


def command(
    json: Annotated[bool, Option("--json", help="One JSON object instead of lines.")] = False,
    control_url: Annotated[
        str | None,
        Option(envvar="PULLARM_CONTROL_URL", help="Control plane; else by its own setting."),
    ] = None,
    serving: Annotated[
        str | None, Option(help="HOST:PORT of serving; else by its own setting.")
    ] = None,
    state: Annotated[
        Path, Option(help="State folder of a running `pullarm up`, where servers are not set.")
    ] = Path(".pullarm"),
) -> None:
    """Check what has to be right before an experiment is launched, and say what to mend.

    Looks at settings, PostgreSQL, Redis, clocks, workers, serving, the control plane, tokens, backups and every
    experiment that is not over, and changes nothing. Reads the same environment as the processes themselves, else that
    of the state folder. Exits with 1 where there is a problem; a warning is none.
    """
    logging.getLogger("httpx").setLevel(logging.WARNING)
    patient = Patient(environment=surroundings(state), control_url=control_url, serving=serving)
    findings = asyncio.run(examine(patient))
    if json:
        print(msgspec.json.encode(_as_json(findings)).decode())
    else:
        _show(findings)
    sys.exit(1 if _count(findings, Standing.PROBLEM) else 0)


def _show(findings: Sequence[Finding]) -> None:
    console = Console()
    for each in findings:
        line = Text(f"{each.standing.value:<9}", _STYLES[each.standing])
        line.append(f"{each.check}: {each.found}", "default")
        console.print(line, soft_wrap=True)
        if each.mend:
            console.print(Text(f"{'':<9}  -> {each.mend}"), soft_wrap=True)
    warnings, problems = (_count(findings, s) for s in (Standing.WARNING, Standing.PROBLEM))
    console.print(f"{problems} problems, {warnings} warnings")


def _as_json(findings: Sequence[Finding]) -> dict[str, object]:
    return {
        "sound": not _count(findings, Standing.PROBLEM),
        "problems": _count(findings, Standing.PROBLEM),
        "warnings": _count(findings, Standing.WARNING),
        "findings": [asdict(each) for each in findings],
    }


def _count(findings: Sequence[Finding], standing: Standing) -> int:
    return sum(each.standing is standing for each in findings)
