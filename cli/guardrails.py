"""`pullarm guardrails`: what the newest checks of an experiment came to."""

from typing import Annotated, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer import Argument

from cli.remote import DEFAULT_STATE, DEFAULT_URL, ControlPlane, ControlUrl, TokenState
from pullarm.domain.numerals import numeral


def command(
    experiment: Annotated[str, Argument(help="Its id or key.")],
    control_url: ControlUrl = DEFAULT_URL,
    state: TokenState = DEFAULT_STATE,
) -> None:
    """Show the guardrails of an experiment, and its rollbacks by them."""
    with ControlPlane.found(control_url, state) as control:
        told = control.guardrails(experiment)
    console = Console()
    console.print(
        f"{told['id']} is {told['state']}, guard epoch {told['guard_epoch']}: {told['verdict']}"
    )
    table = Table(box=None)
    for head in ("guardrail", "verdict", "action", "policy"):
        table.add_column(head, no_wrap=True)
    for head in ("value", "warning", "limit", "sample"):
        table.add_column(head, justify="right")
    table.add_column("checked")
    for name, check in told["guardrails"].items():
        table.add_row(
            *(name, check["verdict"], check["action"], check["policy"] or "-"),
            *(_number(check[figure]) for figure in ("value", "warning", "limit")),
            f"{check['sample']:,}",
            check["checked_at"],
        )
    console.print(table)
    for name, check in told["guardrails"].items():
        if check["uncertain"] or check["verdict"] not in ("pass", "off"):
            unsure = "; this may still be chance" if check["uncertain"] else ""
            console.print(Text(f"{name}: {check['why']}{unsure}"), soft_wrap=True)
    for rollback in told["rollbacks"]:
        console.print(Text(_said(rollback)), soft_wrap=True)


def _number(value: float | None) -> str:
    return "-" if value is None else numeral(value, ".4g")


def _said(rollback: dict[str, Any]) -> str:
    what = "stopped for good" if rollback["stopped"] else "rolled back"
    matured = {
        None: f"; rewards mature at {rollback['recheck_at']}" if rollback["recheck_at"] else "",
        True: "; confirmed by matured rewards",
        False: "; not confirmed by matured rewards",
    }[rollback["confirmed"]]
    return f"{rollback['at']} {what}: {rollback['reason']}{matured}"
