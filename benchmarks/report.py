"""A run for a reader: one table of what was promised, and the figures of a load."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.run import Finding, Suite
from benchmarks.sla import Check

Measured = Sequence[tuple[Suite, Finding, list[Check]]]
_ROWS = (
    ("answers/s", "rate", "throughput"),
    ("decisions/s", "decisions_per_s", "throughput"),
    ("p50 ms", "p50_ms", "p50"),
    ("p95 ms", "p95_ms", "p95"),
    ("p99 ms", "p99_ms", "p99"),
    ("p99.9 ms", "p999_ms", None),
    ("max ms", "max_ms", None),
    ("server CPU us/request", "cpu_us_per_request", "server_cpu"),
    ("errors", "errors", None),
    ("generator's lag p99 ms", "generator_lag_p99_ms", None),
)


def show_suites(console: Console, measured: Measured) -> None:
    """Every promise with its figure, and the suites' own tables after it."""
    table = Table(title="What the project promises", title_justify="left")
    for head in ("suite", "figure", "measured", "echo", "limit", ""):
        table.add_column(head, justify="right" if head in ("measured", "echo") else "left")
    for suite, _, checks in measured:
        for check in checks:
            echo = "" if check.echo is None else _shown(check.echo)
            verdict = "[green]pass[/]" if check.kept else "[red]miss[/]"
            table.add_row(suite.name, check.name, check.found, echo, str(check.limit), verdict)
    for suite, found, _ in measured:
        if "ours" in found.details:
            show_load(console, suite.description, found.details)
        elif found.text:
            console.print(f"\n{suite.description}", highlight=False)
            console.print(found.text, highlight=False, markup=False, soft_wrap=True)
    console.print(table)


def show_load(console: Console, title: str, details: dict[str, Any]) -> None:
    """Ours, the echo and their ratio."""
    ours, echo, ratio = details["ours"], details["echo"], details["ratio"]
    table = Table(title=title, title_justify="left")
    table.add_column("figure")
    for head in ("ours", "echo", "ours / echo"):
        table.add_column(head, justify="right")
    for name, key, compared in _ROWS:
        if ours[key] is None:  # a closed loop has no lag, a target's CPU is not known
            continue
        shown = _shown((echo or {}).get(key))
        over = "" if compared is None else _shown(ratio[compared])
        table.add_row(name, _shown(ours[key]), shown, over)
    console.print()
    console.print(table)
    others = ours["other_cpu_us_per_request"]
    if others:
        told = ", ".join(f"{name} {_shown(us)}" for name, us in others.items())
        console.print(f"CPU us/request of the others while ours was measured: {told}")
    settings = details["settings"]
    in_flight = f", {settings['in_flight']} calls in flight" if settings["in_flight"] else ""
    console.print(
        f"{settings['duration_s']:g} s on each side, {settings['slices']} slices in turn{in_flight}; "
        "before each slice of the echo's all was folded"
    )
    for status, count in ours["errors_by_status"].items():
        console.print(f"{count:,} calls failed with {status}")


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.2f}"
