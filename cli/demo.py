"""`pullarm demo`: the platform doing its main job on real input, driven as an upstream recommender would."""

import asyncio
import json
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.console import Console
from typer import BadParameter, Option

from cli import demo_report, foreground
from cli.demo_report import Outcome
from cli.driver import Driver, History
from cli.platform import Platform, Settings
from cli.remote import ControlPlane
from cli.tally import Tally
from cli.up import summary
from pullarm.client import Client
from pullarm.clock import FileClock, system_clock
from pullarm.domain.decision_id import decode
from pullarm.domain.errors import Forbidden, NotFound, PullarmError, Unauthenticated, Unavailable
from pullarm.storage.postgres import (
    Database,
    PostgresExperiments,
    PostgresLedger,
    PostgresStatistics,
    PostgresSummary,
)
from replay import synthetic, visits
from replay.traffic import Traffic
from serving.settings import read_keys

LIVE_PER_SECOND = 50.0
"""The pace at which traffic goes on where nobody said how many decisions."""
HISTORY_DECISIONS = 100_000
_MS_PER_DAY = 86_400_000
_SEEN_WITHIN_S = 15.0
_LOOKS = 16
"""Connections that look for the experiment: the kernel spreads them over the serving processes."""
_FOLDED_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for on the command line."""

    traffic: Traffic
    days: float | None
    decisions: int | None
    leave: bool
    seed: int


def command(
    movielens: Annotated[
        Path | None, Option(help="Folder with ml-1m's or ml-100k's own files.")
    ] = None,
    days: Annotated[
        float | None, Option(min=0.01, max=90, help="Write this many past days of history first.")
    ] = None,
    decisions: Annotated[int | None, Option(min=1, help="How many decisions to drive.")] = None,
    leave: Annotated[
        bool, Option("--exit", help="Stop when they are driven, folded and verified.")
    ] = False,
    seed: Annotated[int, Option(min=0, help="Of the traffic.")] = 1,
    state: Annotated[Path, Option(help="Folder for data, logs and keys.")] = Path(".pullarm"),
    grpc_port: Annotated[int, Option(min=0, max=65535, help="Port of serving; 0: any.")] = 50051,
    http_port: Annotated[int, Option(min=0, max=65535, help="Port of control; 0: any.")] = 8000,
    metrics_port: Annotated[
        int, Option(min=0, max=65456, help="Metrics of the first serving process; 0: any.")
    ] = 9464,
) -> None:
    """Start the platform, run an experiment on it, show how it goes; until Ctrl-C, or --exit.

    Without --movielens the traffic is synthetic, with stated click rates.
    """
    if leave and not (decisions or days):
        raise BadParameter("say when that is, with --decisions or --days", param_hint="'--exit'")
    traffic: Traffic = (
        visits.from_folder(movielens, seed=seed) if movielens else synthetic.Visits(seed=seed)
    )
    wish = Wish(traffic=traffic, days=days, decisions=decisions, leave=leave, seed=seed)
    settings = Settings(
        state=state,
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
        simulated_from_ms=system_clock() - round(days * _MS_PER_DAY) if days else None,
    )
    demo = _Demo(wish, settings)
    status = asyncio.run(foreground.run(demo.platform, demo.run))
    interrupted = 128 + signal.SIGINT if leave else 0
    sys.exit(interrupted if status is None else status)


async def _runs(client: Client, experiment: str) -> bool:
    """Whether the client's process has the experiment running."""
    try:
        # No arm of it, so that no policy is asked and the figures hold the traffic alone.
        found = await client.select(experiment, "first-look", ["first-look"])
    except (NotFound, Unauthenticated, Forbidden, Unavailable):  # until all of it is published
        return False
    return found.reason == "NO_KNOWN_CANDIDATE"


async def _follow(clock: FileClock) -> None:
    """Once the history is told, the platform's clock goes with the machine's."""
    while True:
        clock.set(system_clock())
        await asyncio.sleep(0.01)


class _Demo:
    """One run: platform up, experiment on, traffic, and the account of it."""

    def __init__(self, wish: Wish, settings: Settings) -> None:
        self._wish = wish
        self._tally = Tally(accountable=bool(wish.decisions or wish.days))
        self._token = ""
        """The upstream's, for this experiment alone."""
        self._console = Console(stderr=True)
        self.platform = Platform(settings, report=self._tell)

    async def run(self) -> int:
        """The exit status; for while the platform is up."""
        wish = self._wish
        self._tell(summary(self.platform))
        self._tell(f"\nTraffic: {wish.traffic.label}")
        experiment = await self._start()
        self._tell(f"Experiment {experiment}: {self.platform.page_url}/experiments/{experiment}\n")
        await self._seen(experiment)
        driver = Driver(
            self.platform.grpc_address,
            experiment,
            wish.traffic,
            self._tally,
            token=self._token,
            trust=self.platform.trust,
        )
        async with demo_report.progress(self._console, self._tally):
            await self._drive(driver)
        status = 0
        if wish.decisions or wish.days:
            status = await self._account(experiment)
        if not wish.leave:
            await self._go_on(driver)
        return status

    def _tell(self, message: str) -> None:
        demo_report.tell(self._console, message)

    async def _start(self) -> str:
        """Create and start the experiment, the way its owner would."""
        traffic = self._wish.traffic
        body: dict[str, object] = {
            "name": f"Demo {time.strftime('%Y-%m-%d %H:%M:%S')}",
            "notes": traffic.label,
            "duration_days": 14 + (self._wish.days or 0),  # after a history it goes on
            "arms": [{"id": arm.id, "label": arm.label} for arm in traffic.arms],
        }

        def launch() -> str:
            platform = self.platform
            with ControlPlane(platform.http_url, platform.token, platform.trust) as control:
                reference: str = control.create(body)["id"]
                control.start(reference)
                caller = {"name": "demo", "role": "caller", "experiments": [reference]}
                self._token = control.create_token(caller)["token"]
                return reference

        return await asyncio.to_thread(launch)

    async def _seen(self, experiment: str) -> None:
        """Wait until serving answers for the experiment, whichever process a connection meets."""
        deadline = time.monotonic() + _SEEN_WITHIN_S
        for _ in range(_LOOKS):
            async with Client(
                self.platform.grpc_address,
                token=self._token,
                trust=self.platform.trust,
                timeout_s=5.0,
            ) as client:
                while not await _runs(client, experiment):
                    if time.monotonic() > deadline:
                        raise PullarmError(
                            "serving does not see the experiment; see the worker's log"
                        )
                    await asyncio.sleep(0.05)

    async def _drive(self, driver: Driver) -> None:
        wish, clock = self._wish, self.platform.clock
        if clock is not None:
            await driver.history(
                History(
                    clock=clock,
                    start_ms=clock(),
                    end_ms=system_clock(),
                    decisions=wish.decisions or HISTORY_DECISIONS,
                    seed=wish.seed,
                )
            )
        elif wish.decisions:
            await driver.live(wish.decisions, None)
        else:
            await driver.live(None, LIVE_PER_SECOND)

    async def _go_on(self, driver: Driver) -> None:
        """Live traffic until Ctrl-C, so that there is something to watch."""
        self._tally.accountable = False
        self._tell(f"\nGoing on with {LIVE_PER_SECOND:g} visits a second; Ctrl-C stops.")
        async with (
            demo_report.progress(self._console, self._tally),
            asyncio.TaskGroup() as group,
        ):
            group.create_task(driver.live(None, LIVE_PER_SECOND))
            if self.platform.clock is not None:
                group.create_task(_follow(self.platform.clock))

    async def _account(self, experiment: str) -> int:
        """Wait until all is folded, compare with what was acknowledged, verify, print the JSON line."""
        environment = self.platform.environment
        keys = read_keys(environment)
        decided = [decode(text, keys).uid for text in self._tally.decision_ids]
        rewarded = [decode(text, keys).uid for text in self._tally.rewarded_ids]
        async with Database(environment["DATABASE_URL"], max_connections=2) as database:
            ledger = PostgresLedger(database)
            deadline = time.monotonic() + _FOLDED_WITHIN_S
            lost = await ledger.missing(decided, rewarded)
            while lost and time.monotonic() < deadline:
                await asyncio.sleep(0.2)
                lost = await ledger.missing(decided, rewarded)
            stored = await PostgresExperiments(database).get(experiment)
            statistics = PostgresStatistics(database)
            await statistics.catch_up(stored.number)
            differences = await ledger.verify(stored.number)
            differences += await statistics.verify(stored.number)
            figures = await PostgresSummary(database).of(stored)
        outcome = Outcome(
            tally=self._tally, lost=lost, differences=differences, policies=figures.policies
        )
        demo_report.show(self._console, outcome)
        print(json.dumps(outcome.as_json()), flush=True)
        return 0 if outcome.sound else 1
