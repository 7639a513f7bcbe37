"""`pullarm audit`: who changed what, when and from where."""

import json as json_format
from collections.abc import Mapping
from typing import Annotated, Any

from rich.console import Console
from rich.table import Table
from typer import Argument, Option

from cli.remote import DEFAULT_STATE, DEFAULT_URL, ControlPlane, ControlUrl, TokenState

_SHOWN_CHARS = 60


def command(
    experiment: Annotated[
        str | None, Argument(help="An id or key; without it all changes, which takes an admin.")
    ] = None,
    limit: Annotated[int, Option(min=1, max=1000, help="How many, newest first.")] = 50,
    before: Annotated[int | None, Option(min=1, help="Only those with lower numbers.")] = None,
    json: Annotated[bool, Option("--json", help="The answer as JSON, with all values.")] = False,
    control_url: ControlUrl = DEFAULT_URL,
    state: TokenState = DEFAULT_STATE,
) -> None:
    """Show who changed what, when and from where, newest first."""
    with ControlPlane.found(control_url, state) as control:
        page = control.audit(experiment, limit, before)
    if json:
        print(json_format.dumps(page))
        return
    console = Console(markup=False)
    table = Table("no", "at", "who", "from", "experiment", "action", "what", box=None)
    for each in page["entries"]:
        table.add_row(
            str(each["audit_no"]),
            each["at"][:19].replace("T", " "),
            each["actor"],
            " ".join(filter(None, (each["origin"], each["address"]))),
            each["experiment"] or "-",
            each["action"],
            _what(each["before"], each["after"]),
        )
    console.print(table)
    if page["next"]:
        console.print(f"there are older ones: --before {page['next']}")


def _what(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What changed, as far as a line has room; of something new, what it is called."""
    if not before:
        return str(after.get("name", ", ".join(after)))
    return "; ".join(
        f"{name}: {_short(before.get(name))} -> {_short(after[name])}" for name in after
    )


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json_format.dumps(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 3]}..."
