"""What `pullarm explain` says of a decision, as tables."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pullarm.policies.draw import KERNEL

_ROWS = 40
"""Candidates in the table; all are in the document."""


def show(console: Console, explained: Mapping[str, Any]) -> None:
    """The document as tables, and the verdict last."""
    console.print(_overview(explained))
    if explained.get("candidates"):
        console.print(_candidate_table(explained))
    if explained.get("slots"):
        console.print(_table("slot", explained["slots"]))
    if explained["rewards"]:
        console.print(_table("received_at", explained["rewards"]))
    for line in explained.get("differences", ()):
        console.print(Text(line), soft_wrap=True)
    console.print(Text(_verdict(explained)), soft_wrap=True)


def _overview(explained: Mapping[str, Any]) -> Table:
    table = Table(box=None, show_header=False)
    for part in ("experiment", "decision", "assignment", "publication", "weighting", "policy"):
        said = [f"{name} {_said(value)}" for name, value in explained.get(part, {}).items()]
        if said:
            table.add_row(part, Text(", ".join(said)))
    return table


def _candidate_table(explained: Mapping[str, Any]) -> Table:
    rows = explained["candidates"]
    drawn = {slot["arm_no"] for slot in explained["slots"]}
    by_weight = sorted(
        rows, key=lambda row: (row["arm_no"] not in drawn, -row.get("integer", 0), row["place"])
    )
    shown = sorted(by_weight[:_ROWS], key=lambda row: row["place"])
    left = len(rows) - len(shown)
    table = _table("place", shown)
    table.caption = f"and {left} more, which --json lists" if left else None
    return table


def _table(first: str, rows: list[dict[str, Any]]) -> Table:
    names = list(dict.fromkeys([first, *(name for row in rows for name in row)]))
    table = Table(box=None)
    for name in names:
        table.add_column(name, justify="left" if name in ("arm_id", "kind", first) else "right")
    for row in rows:
        table.add_row(*(Text(_said(row.get(name))) for name in names))
    return table


def _said(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={_said(one)}" for name, one in value.items()) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "-" if value in (None, "") else str(value)


def _verdict(explained: Mapping[str, Any]) -> str:
    return {
        "reproduced": "reproduced bit for bit",
        "differs": f"{len(explained.get('differences', ()))} differences",
        "other_kernel": (
            f"made by kernel {explained['decision'].get('kernel')}, and this is kernel {KERNEL}: "
            "its weights and draw are not redone; use the version that made it"
        ),
        "not_logged": "only a hash of its candidates is logged: it cannot be redone",
        "not_folded": "only its reward or its voiding has come yet: try again once the decision is folded",
    }[explained["verdict"]]
