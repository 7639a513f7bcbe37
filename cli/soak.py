"""`pullarm soak`: kill every part under load, and account for everything that was acknowledged."""

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from functools import partial
from statistics import median
from typing import Annotated

from rich.console import Console
from rich.table import Table
from typer import Option

from benchmarks.site import seen
from cli import demo_report, foreground, matrix
from cli.cluster import Nodes, cluster
from cli.driver import Driver
from cli.endurance import Endurance
from cli.matrix import FAULTS, NOTHING, PRIMARY, TWO_AT_ONCE, Account, Matrix, Plan, Round, Said
from cli.platform import Platform, Settings
from cli.remote import ControlPlane
from cli.tally import Tally
from cli.temporary import temporary_state
from replay import synthetic


def command(
    minutes: Annotated[
        float, Option(min=0, help="Half of it for faults, half for a load that goes on without.")
    ] = 0.0,
    faults: Annotated[int, Option(min=0, help="Faults at random, after one of each.")] = 10,
    rate: Annotated[float, Option(min=1, help="Decisions a second.")] = 500.0,
    seed: Annotated[int, Option(min=0, help="Of the faults and the traffic.")] = 1,
    serving: Annotated[int, Option(min=1, max=64, help="Serving processes.")] = 2,
    workers: Annotated[int, Option(min=1, max=16, help="Worker processes.")] = 2,
    clustered: Annotated[
        bool, Option("--cluster", help="On a cluster of three primaries with a replica each.")
    ] = False,
) -> None:
    """Kill worker, Valkey, PostgreSQL, serving and control with signal 9, in turn and at random, under load.

    With --cluster also primaries, whose replicas are promoted; the Valkey beside them has arq's queue alone.

    Runs a platform of its own in a folder that is removed afterwards. Then every acknowledged decision and reward has
    to be in the ledger exactly once, `verify` clean, and the posterior what one worker, and two, make of the ledger's
    events. With --minutes, the load goes on for as long as the faults did: no backlog, p99 may not get worse, and no
    process may grow by more than 20 MB an hour, which is looked at after five minutes of it.
    """
    plan = Plan(per_second=rate, at_random=faults, minutes=minutes, seed=seed)
    with temporary_state("soak") as state:
        settings = Settings(state=state, serving=serving, workers=workers, grpc_port=0, http_port=0)
        account = asyncio.run(_run(settings, plan, clustered=clustered))
    if account is None:
        sys.exit(128 + signal.SIGINT)
    show(Console(stderr=True), account)
    print(json.dumps(as_json(account)), flush=True)
    sys.exit(0 if account.sound else 1)


async def _run(settings: Settings, plan: Plan, *, clustered: bool) -> Account | None:
    console, said = Console(stderr=True), Said()

    def report(message: str) -> None:
        demo_report.tell(console, message)

    async with AsyncExitStack() as stack:
        nodes = None
        if clustered:
            nodes = await stack.enter_async_context(cluster(settings.state.with_name("cluster")))
            settings = replace(settings, redis_url=nodes.url)
        platform = Platform(settings, said)
        return await foreground.run(platform, lambda: soak(platform, said, plan, report, nodes))


async def soak(
    platform: Platform,
    said: Said,
    plan: Plan,
    report: Callable[[str], None],
    nodes: Nodes | None = None,
) -> Account:
    """Run a plan on a platform that reports to `said`, with an experiment of its own, and take the account."""
    traffic, tally = synthetic.Visits(seed=plan.seed), Tally()
    body = {"name": "Soak", "arms": [arm.id for arm in traffic.arms]}
    reference = await asyncio.to_thread(_launch, platform, body)
    await seen(platform.grpc_address, reference)
    driver = Driver(platform.grpc_address, reference, traffic, tally)
    rounds, endurance = await Matrix(platform, said, driver, tally, report, nodes).run(plan)
    report("the load has ended; folding, verifying, folding anew")
    account = await matrix.account(platform, reference, rounds, tally.failures, plan.seed)
    return replace(account, endurance=endurance)


def _launch(platform: Platform, body: Mapping[str, object]) -> str:
    with ControlPlane(platform.http_url, platform.token) as control:
        return str(control.start(control.create(body)["id"])["id"])


def as_json(account: Account) -> dict[str, object]:
    """What a script reads."""
    return {
        "faults": [_row(name, some) for name, some in _by_fault(account.rounds).items()],
        "decisions": sum(len(each.decision_ids) for each in account.rounds),
        "rewards": sum(len(each.rewarded_ids) for each in account.rounds),
        "missing": account.missing,
        "doubled": account.doubled,
        "events_not_come": account.gaps,
        "verify": f"{len(account.differences)} differences" if account.differences else "clean",
        "same_posterior_by_workers": account.same,
        "refused_calls": account.refused,
        "endurance": asdict(account.endurance) if account.endurance else None,
        "sound": account.sound,
    }


def show(console: Console, account: Account) -> None:
    """The table of faults, and what holds of all of them together."""
    table = Table(title="Killed with signal 9 under load")
    heads = ("fault", "times", "back s", "worst", "pause s", "decisions", "rewards", "missing")
    for head in heads:
        table.add_column(head, justify="left" if head == "fault" else "right", no_wrap=True)
    for name, some in _by_fault(account.rounds).items():
        row = _row(name, some).values()
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row))
    console.print(table)
    told = as_json(account)
    tell = partial(demo_report.tell, console)
    tell(
        f"{told['decisions']:,} decisions and {told['rewards']:,} rewards acknowledged, {account.missing} missing, "
        f"{account.doubled} doubled; {account.gaps} numbered events have not come"
    )
    tell(
        f"verify: {told['verify']}; the posterior as one worker makes it of the ledger's events: "
        f"{_same(account.same[1])}; as two do: {_same(account.same[2])}"
    )
    tell(f"{account.refused} calls were refused and never acknowledged")
    if account.endurance:
        console.print(_endured(account.endurance))


def _endured(endurance: Endurance) -> Table:
    table = Table(title=f"Under load for {endurance.minutes:.1f} minutes, nothing killed")
    for head in ("", "first third", "last third", "MB an hour"):
        table.add_column(head, justify="right" if head else "left", no_wrap=True)
    table.add_row("entries that wait", *(f"{n:,.0f}" for n in endurance.waiting), "")
    table.add_row("p99 of Select, ms", *(f"{ms:.1f}" for ms in endurance.p99_ms), "")
    for name, held in endurance.mb.items():
        slope = endurance.mb_per_hour.get(name)
        grows = "too short" if slope is None else f"{slope:+.1f}"
        table.add_row(f"memory of {name}, MB", *(f"{mb:,.0f}" for mb in held), grows)
    return table


def _same(same: bool) -> str:
    return "the same" if same else "ANOTHER"


def _by_fault(rounds: Sequence[Round]) -> dict[str, list[Round]]:
    names = (*FAULTS, PRIMARY, TWO_AT_ONCE, NOTHING)
    found = {name: [each for each in rounds if each.fault == name] for name in names}
    return {name: some for name, some in found.items() if some}


def _row(name: str, some: Sequence[Round]) -> dict[str, object]:
    """Pause is the longest time without an acknowledged decision."""
    recoveries = [each.recovery_s for each in some]
    return {
        "fault": name,
        "times": len(some),
        "recovery_s": round(median(recoveries), 2),
        "worst_recovery_s": round(max(recoveries), 2),
        "pause_s": round(max(each.pause_s for each in some), 2),
        "decisions": sum(len(each.decision_ids) for each in some),
        "rewards": sum(len(each.rewarded_ids) for each in some),
        "missing": sum(each.missing for each in some),
    }
