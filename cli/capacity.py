"""`pullarm capacity`: how much of everything a load takes."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.table import Table
from typer import Option

from benchmarks.capacity import BUSY, Costs, Load, Need, needed
from pullarm.domain.finding import in_bytes


def command(
    decisions_per_second: Annotated[float, Option(min=0.001, help="At the peak.")],
    arms: Annotated[int, Option(min=1, help="Of one experiment.")] = 1_000,
    experiments: Annotated[int, Option(min=1, help="That run side by side.")] = 1,
    retention: Annotated[int, Option(min=1, help="Days of decisions that are kept.")] = 90,
    rewards: Annotated[float, Option(min=0, help="For each decision.")] = 0.1,
    candidates: Annotated[int, Option(min=1, help="Of each decision.")] = 10,
    batch: Annotated[int, Option(min=1, max=1_000, help="Decisions of one call.")] = 1,
    costs: Annotated[
        list[Path] | None,
        Option(help="Output of `pullarm bench --json` on your machine, in place of the kept runs."),
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print one object.")] = False,
) -> None:
    """Say how many processes, and how large servers, a load needs.

    It is arithmetic on unit costs that `pullarm bench` measured (docs/scaling.md); what is stored is counted as if the
    peak lasted all day.
    """
    load = Load(
        decisions_per_s=decisions_per_second,
        rewards=rewards,
        candidates=candidates,
        batch=batch,
        arms=arms,
        experiments=experiments,
        retention_days=retention,
    )
    unit = Costs.of(costs or ())
    need = needed(load, unit)
    if as_json:
        print(json.dumps({"load": asdict(load), "need": asdict(need), "unit_costs": asdict(unit)}))
        return
    console = Console(markup=False)
    console.print(_table(need))
    console.print(f"First to give: {need.first}, at {need.first_at:.0%} of what it can do.")
    console.print(f"Cores are busy to {BUSY:.0%} at most. Measured: {'; '.join(unit.sources)}.")


def _table(need: Need) -> Table:
    table = Table("part", "how many", "how large", box=None)
    table.add_row(
        "serving",
        f"{need.serving_processes:,} processes",
        f"{need.serving_cores:,.1f} cores in all, {in_bytes(int(need.serving_bytes))} each",
    )
    table.add_row(
        "workers", f"{need.workers:,} processes", f"{need.worker_cores:,.1f} cores in all"
    )
    table.add_row(
        "Redis",
        f"{need.redis_cores:,.2f} cores",
        f"{in_bytes(int(need.redis_bytes))} of data with a full stream, which takes {need.stream_fills_s:,.0f} s "
        "without workers",
    )
    table.add_row(
        "PostgreSQL",
        f"{need.postgres_cores:,.1f} cores",
        f"{in_bytes(int(need.postgres_bytes))} ({in_bytes(int(need.postgres_bytes_a_day))} a day)",
    )
    return table
