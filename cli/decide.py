"""`pullarm decide`: judge an experiment now, or make an earlier verdict again from the ledger."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer import Argument, Option

from cli.moments import moment
from cli.remote import DEFAULT_STATE, DEFAULT_URL, ControlPlane, ControlUrl, TokenState
from cli.verify import database_url
from pullarm.domain.errors import NotFound
from pullarm.domain.numerals import numeral
from pullarm.storage.postgres import Database, PostgresExperiments
from pullarm.storage.postgres.verdicts import PostgresVerdicts


def command(
    experiment: Annotated[str, Argument(help="Its id or key.")],
    at: Annotated[
        str | None,
        Option(help="Make the verdict that stood then again, from the ledger as of its data cut."),
    ] = None,
    json: Annotated[bool, Option("--json", help="The verdict as JSON, to the byte.")] = False,
    control_url: ControlUrl = DEFAULT_URL,
    state: TokenState = DEFAULT_STATE,
) -> None:
    """Judge an experiment now: a day that was judged, or a final verdict, stands and is shown again.

    With --at the verdict is made anew from the ledger, as of the fold that it was made on; it fails unless that gives
    the same bytes. A time without a zone is UTC.
    """
    if at is not None:
        _redo(experiment, at, state, json=json)
        return
    with ControlPlane.found(control_url, state) as control:
        told = control.decide(experiment)
    _print(told, json=json)


def _redo(experiment: str, at: str, state: Path, *, json: bool) -> None:
    told, same = asyncio.run(_redone(database_url(state), experiment, at))
    _print(told, json=json)
    if not same:
        sys.exit(
            "pullarm: the ledger makes another verdict of it than the one that was frozen, which is shown; "
            "`pullarm verify` says what differs"
        )
    print(f"made again from fold {told['fold_no']}: the same bytes", file=sys.stderr)


async def _redone(url: str, reference: str, at: str) -> tuple[dict[str, Any], bool]:
    then = moment("--at", at)
    async with Database(url, max_connections=2) as database:
        experiment = await PostgresExperiments(database).get(reference)
        found = await PostgresVerdicts(database).redone(experiment.number, then)
    if found is None:
        raise NotFound(f"{experiment.id} had no verdict at {at}")
    stored, _, same = found
    return {**msgspec.to_builtins(stored), "content": stored.content}, same


def _print(told: Mapping[str, Any], *, json: bool) -> None:
    verdict = told["verdict"]
    if json:
        print(told.get("content") or msgspec.json.encode(verdict).decode())
        return
    console = Console()
    stands = "final" if verdict["final"] else "not final"
    head = f"{verdict['outcome']} ({stands}), {told['name']}, made at {told['at']} on fold {told['fold_no']}"
    console.print(Text(head), soft_wrap=True)
    console.print(Text(verdict["why"]), soft_wrap=True)
    table = Table("policy", "call", box=None)
    for column in ("users", "rate", "lift", "from", "to", "shrunk", "loss", "power", "ships on"):
        table.add_column(column, justify="right")
    for name, policy in verdict["policies"].items():
        low, high = policy["interval"] or (None, None)
        table.add_row(
            *(name, policy["call"], f"{policy['users']:,}", _percent(policy["rate"])),
            *(_percent(each, "+") for each in (policy["lift"], low, high, policy["shrunk_lift"])),
            *(_percent(policy["loss_of_shipping"]), _percent(policy["power"])),
            f"day {policy['days_to_ship']}" if policy["days_to_ship"] else "-",
        )
    console.print(table)
    console.print(
        f"day {verdict['day']} of {verdict['last_day']}; spent {verdict['spent']:.4f} of {verdict['alpha']:.4f}; "
        f"split p = {verdict['split_p']:.3f}",
        soft_wrap=True,
    )
    if verdict["known_users"]:
        known = f"lifts are less what {verdict['known_users']:,} users did before it began; as observed: "
        lifts = (f"{n} {_percent(p['observed_lift'], '+')}" for n, p in verdict["policies"].items())
        console.print(known + ", ".join(lifts), soft_wrap=True)


def _percent(share: float | None, sign: str = "") -> str:
    return "-" if share is None else numeral(share, f"{sign}.2%").replace("%", " %")
