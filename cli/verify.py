"""`pullarm verify`: the stored posteriors and statistics against the ledger."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from cli.completeness import told
from cli.state import read_environment
from pullarm.clock import Clock, clock_from
from pullarm.domain.errors import ConfigurationError
from pullarm.domain.experiment import Experiment
from pullarm.domain.intake import Intake, watermark
from pullarm.storage.postgres import (
    Database,
    PostgresExperiments,
    PostgresLedger,
    PostgresStatistics,
)
from pullarm.storage.postgres.arm_rate_stage import PostgresArmRateStage
from pullarm.storage.postgres.times import at

_SHOWN = 20


def command(
    experiment: Annotated[str | None, Argument(help="Id or key; all when left out.")] = None,
    state: Annotated[
        Path, Option(help="State folder of a running `pullarm up`, where DATABASE_URL is not set.")
    ] = Path(".pullarm"),
) -> None:
    """Recompute posteriors, statistics and rates of arms from the ledger; prints every difference, and fails then.

    Also says how many events serving has stored that have not come (on their way, in a spool, or lost), and up to when
    all have.
    """
    differences = asyncio.run(_verify(database_url(state), experiment, platform_clock(state)()))
    sys.exit(1 if differences else 0)


def database_url(state: Path) -> str:
    """DATABASE_URL of the environment, else of the platform that runs on the state folder."""
    url = os.environ.get("DATABASE_URL") or read_environment(state).get("DATABASE_URL")
    if not url:
        raise ConfigurationError(
            f"DATABASE_URL is not set and no platform runs on {state}; "
            "start one with `pullarm up`, or name its folder with --state"
        )
    return url


def platform_clock(state: Path) -> Clock:
    """The clock that PULLARM_CLOCK names, else that of the platform that runs on the state folder."""
    return clock_from(platform_setting("PULLARM_CLOCK", state) or "system")


def platform_setting(name: str, state: Path) -> str:
    """A variable of the environment, else of the platform that runs on the state folder; "" where neither has it."""
    return os.environ.get(name) or read_environment(state).get(name, "")


async def _verify(dsn: str, reference: str | None, now_ms: int) -> int:
    async with Database(dsn, max_connections=2) as database:
        store, ledger = PostgresExperiments(database), PostgresLedger(database)
        statistics, rates = PostgresStatistics(database), PostgresArmRateStage(database)
        experiments = [await store.get(reference)] if reference else await store.all()
        differences = sum([await _report(ledger, statistics, rates, one) for one in experiments])
        if not reference:
            _report_events(await ledger.intake(), now_ms)
        return differences


def _report_events(lives: Sequence[Intake], now_ms: int) -> None:
    for each in lives:
        if each.gaps:
            print(f"{each.process}: {each.missing} of {each.numbered} events have not come")
        if each.lost:
            print(f"{each.process}: {each.lost} of {each.numbered} events are lost")
    mark = watermark(lives, now_ms)
    if mark.at_ms is None:
        print(told(None, None, mark.process))
    else:
        print(told(at(mark.at_ms), (now_ms - mark.at_ms) / 1_000, mark.process))


async def _report(
    ledger: PostgresLedger,
    statistics: PostgresStatistics,
    rates: PostgresArmRateStage,
    experiment: Experiment,
) -> int:
    differences = await ledger.verify(experiment.number)
    differences += await statistics.verify(experiment.number)
    differences += await rates.verify(experiment.number)
    cells = len(await ledger.posterior(experiment.number))
    verdict = f"{len(differences)} differences" if differences else "clean"
    print(f"{experiment.id} {experiment.key}: {verdict}, {cells} posterior cells")
    for line in differences[:_SHOWN]:
        print(f"  {line}")
    if len(differences) > _SHOWN:
        print(f"  and {len(differences) - _SHOWN} more")
    return len(differences)
