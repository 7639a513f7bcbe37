"""`pullarm status`: what experiments there are, and how the policies of one do."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer import Argument

from cli.completeness import told
from cli.remote import DEFAULT_STATE, DEFAULT_URL, ControlPlane, ControlUrl, TokenState


def command(
    experiment: Annotated[
        str | None, Argument(help="An id or key; without it all are listed.")
    ] = None,
    control_url: ControlUrl = DEFAULT_URL,
    state: TokenState = DEFAULT_STATE,
) -> None:
    """Show all experiments, or one with the figures of its policies."""
    console = Console()
    with ControlPlane.found(control_url, state) as control:
        if experiment is None:
            show_list(console, control.list()["experiments"])
            system = control.system()
            show_processes(console, system["instances"])
            _show_events(console, system)
        else:
            summary = control.summary(experiment)
            _show_summary(console, summary)
            console.print(Text(control.page(summary["id"])), soft_wrap=True)


def show_list(console: Console, experiments: list[Mapping[str, Any]]) -> None:
    """One line for each; ids and keys whole, however narrow it is."""
    if not experiments:
        console.print("There is no experiment yet; `pullarm launch --name ...` starts one.")
        return
    table = Table(box=None)
    for head in ("id", "key", "state", "traffic", "policies", "started"):
        table.add_column(head, no_wrap=head in ("id", "key"))
    for each in experiments:
        table.add_row(
            each["id"],
            each["key"],
            each["state"],
            _percent(each["traffic_pct"], 0),
            ", ".join(policy["name"] for policy in each["policies"]),
            (each["started_at"] or "-")[:16].replace("T", " "),
        )
    console.print(table)


def _show_summary(console: Console, summary: Mapping[str, Any]) -> None:
    day = f"day {summary['days_running']:.1f} of {summary['duration_days']:g}"
    traffic = f"traffic {_percent(summary['traffic_pct'], 0)}"
    # As Text, because a name may hold what rich takes for markup.
    console.print(Text(f"{summary['name']}: {summary['state']}, {day}, {traffic}"), soft_wrap=True)
    table = Table("policy", box=None)
    for head in ("split", "users", "serves", "rewards", "rate", "± SE"):
        table.add_column(head, justify="right")
    for name, policy in summary["policies"].items():
        table.add_row(
            name,
            _percent(policy["share"], 1),
            *(f"{policy[figure]:,}" for figure in ("users", "serves", "rewards")),
            _percent(policy["rate"], 2),
            _percent(policy["standard_error"], 2),
        )
    console.print(table)
    console.print(f"{summary['decisions']:,} decisions, posterior {summary['posterior_version']}")


def show_processes(console: Console, instances: list[Mapping[str, Any]] | None) -> None:
    """How many live of each part, and what is wrong with those that are not ready."""
    if instances is None:
        console.print("Redis is away: which processes live is not known")
        return
    parts = Counter(each["part"] for each in instances if each["status"] != "silent")
    told = ", ".join(f"{number} {part}" for part, number in sorted(parts.items()))
    console.print(f"processes that live: {told or 'none'}")
    for each in instances:
        if each["status"] != "ready":
            silent = f" for {each['silent_s']:.0f} s" if each["status"] == "silent" else ""
            why = "; ".join(each["reasons"])
            text = (
                f"{each['name']} of {each['host']} is {each['status']}{silent}{why and f': {why}'}"
            )
            console.print(Text(text), soft_wrap=True)


def _show_events(console: Console, system: Mapping[str, Any]) -> None:
    if system["events"] is None:
        console.print("PostgreSQL is away: what has come of serving's events is not known")
        return
    for process, missing in system["events"]["missing_by_process"].items():
        text = f"{missing:,} events of {process} have not come: on their way, in a spool, or lost"
        console.print(Text(text), soft_wrap=True)
    if lost := system["events"]["lost"]:
        console.print(f"{lost:,} events are lost")
    mark = system["watermark"]
    at = datetime.fromisoformat(mark["at"]) if mark["at"] else None
    console.print(Text(told(at, mark["age_s"], mark["process"])), soft_wrap=True)


def _percent(share: float | None, digits: int) -> str:
    return "-" if share is None else f"{share:.{digits}%}".replace("%", " %")
