"""`pullarm verify`: the stored posteriors and statistics against the ledger."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from cli.state import read_environment
from pullarm.domain.errors import ConfigurationError
from pullarm.domain.experiment import Experiment
from pullarm.storage.postgres import (
    Database,
    PostgresExperiments,
    PostgresLedger,
    PostgresStatistics,
)

_SHOWN = 20


def command(
    experiment: Annotated[str | None, Argument(help="Id or key; all when left out.")] = None,
    state: Annotated[
        Path, Option(help="State folder of a running `pullarm up`, where DATABASE_URL is not set.")
    ] = Path(".pullarm"),
) -> None:
    """Recompute posteriors and statistics from the ledger; prints every difference and fails if there is one.

    Also says how many events serving has stored that have not come: on their way, in a spool, or lost.
    """
    differences = asyncio.run(_verify(database_url(state), experiment))
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


async def _verify(dsn: str, reference: str | None) -> int:
    async with Database(dsn, max_connections=2) as database:
        store, ledger = PostgresExperiments(database), PostgresLedger(database)
        statistics = PostgresStatistics(database)
        experiments = [await store.get(reference)] if reference else await store.all()
        differences = sum([await _report(ledger, statistics, one) for one in experiments])
        for each in [] if reference else await ledger.intake():
            if each.gaps:
                print(f"{each.process}: {each.missing} of {each.numbered} events have not come")
        return differences


async def _report(
    ledger: PostgresLedger, statistics: PostgresStatistics, experiment: Experiment
) -> int:
    differences = await ledger.verify(experiment.number)
    differences += await statistics.verify(experiment.number)
    cells = len(await ledger.posterior(experiment.number))
    verdict = f"{len(differences)} differences" if differences else "clean"
    print(f"{experiment.id} {experiment.key}: {verdict}, {cells} posterior cells")
    for line in differences[:_SHOWN]:
        print(f"  {line}")
    if len(differences) > _SHOWN:
        print(f"  and {len(differences) - _SHOWN} more")
    return len(differences)
