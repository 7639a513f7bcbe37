"""`pullarm drill upgrade`: an older version is replaced by this one, part by part, under load."""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from rich.console import Console
from typer import Option

from benchmarks.site import seen
from cli import demo_report, matrix
from cli.drill.release import THIS, before_the_newest_migration, unpacked
from cli.drill.rolling import Rolling, rolling
from cli.driver import Driver
from cli.matrix import Account, Round
from cli.refold import look
from cli.remote import ControlPlane
from cli.tally import Tally
from cli.temporary import temporary_state
from replay import synthetic


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an upgrade."""

    replaced: str
    """The older version."""
    took_s: Mapping[str, float]
    """Each part's replacement."""
    pause_s: float
    """The longest time without an acknowledged decision."""
    retries: int
    """Calls that had to be made again."""
    problem: str
    """What the last call that failed was told; empty where none did."""
    account: Account

    @property
    def sound(self) -> bool:
        """No call failed, none had to be made again, and everything acknowledged is in the ledger once."""
        return self.account.sound and not self.account.refused and not self.retries

    def as_json(self) -> dict[str, object]:
        """What a script reads."""
        (only,) = self.account.rounds
        differences = self.account.differences
        return {
            "replaced": self.replaced,
            "took_s": self.took_s,
            "longest_pause_s": round(self.pause_s, 3),
            "decisions": len(only.decision_ids),
            "rewards": len(only.rewarded_ids),
            "failed_calls": self.account.refused,
            "calls_made_again": self.retries,
            "problem": self.problem,
            "missing": self.account.missing,
            "doubled": self.account.doubled,
            "events_not_come": self.account.gaps,
            "verify": f"{len(differences)} differences" if differences else "clean",
            "same_posterior_by_workers": self.account.same,
            "sound": self.sound,
        }


def command(
    revision: Annotated[
        str | None,
        Option(
            "--from",
            help="A commit of this checkout's history; else the last before the newest migration.",
        ),
    ] = None,
    seconds: Annotated[
        float, Option(min=0, help="Of load before, between and after the replacements.")
    ] = 5.0,
    rate: Annotated[float, Option(min=1, help="Decisions a second.")] = 300.0,
    seed: Annotated[int, Option(min=0, help="Of the traffic.")] = 1,
) -> None:
    """Start an older version, put this one in its place under load, and account for everything.

    Migrations run while the older version serves; then workers, serving processes and the control plane are replaced
    one after the other. Needs git and the whole history. Exits with 1 where a call failed or anything is missing.
    """
    console = Console(stderr=True)

    def report(message: str) -> None:
        demo_report.tell(console, message)

    older = revision or before_the_newest_migration()
    outcome = asyncio.run(upgraded(older, report, seconds=seconds, rate=rate, seed=seed))
    print(json.dumps(outcome.as_json()), flush=True)
    sys.exit(0 if outcome.sound else 1)


async def upgraded(
    revision: str, report: Callable[[str], None], *, seconds: float, rate: float, seed: int
) -> Outcome:
    """Upgrade a platform made for it from that revision to this version."""
    with unpacked(revision) as older, temporary_state("upgrade") as folder:
        async with rolling(folder, report) as platform:
            report(f"starting {older.name}")
            await platform.start(older)
            traffic, tally = synthetic.Visits(seed=seed), Tally()
            body = {"name": "Upgrade", "arms": [arm.id for arm in traffic.arms]}
            reference = await asyncio.to_thread(_launch, platform, body)
            await seen(platform.grpc_address, reference)
            driver = Driver(platform.grpc_address, reference, traffic, tally)
            load = asyncio.create_task(driver.live(None, rate))
            pauses = _Pauses(tally)
            watching = asyncio.create_task(pauses.watch())
            try:
                await _acknowledged(tally, round(seconds * rate), load)
                report(f"replacing it by {THIS.name}, at {rate:g} decisions a second")
                took_s = await platform.replace(THIS)
                await _acknowledged(tally, round(seconds * rate), load)
            finally:
                load.cancel()
                watching.cancel()
                await asyncio.wait([load, watching])
            report("the load has ended; folding, verifying, folding anew")
            everything = Round(
                fault="upgrade",
                recovery_s=0.0,
                pause_s=0.0,
                decision_ids=tally.decision_ids,
                rewarded_ids=tally.rewarded_ids,
            )
            account = await matrix.account(platform, reference, [everything], tally.failures, seed)
    return Outcome(
        replaced=older.name,
        took_s=took_s,
        pause_s=pauses.longest_s,
        retries=tally.retries,
        problem=tally.problem,
        account=account,
    )


def _launch(platform: Rolling, body: Mapping[str, object]) -> str:
    with ControlPlane(platform.http_url, platform.token) as control:
        return str(control.start(control.create(body)["id"])["id"])


async def _acknowledged(tally: Tally, more: int, load: "asyncio.Task[None]") -> None:
    """Wait for so many more answers, or for the load's failure."""
    began, target = time.monotonic(), tally.decisions + more
    while tally.decisions < target:
        await look(began, "more answers")
        if load.done():
            load.result()


class _Pauses:
    """The longest time between two answers."""

    def __init__(self, tally: Tally) -> None:
        self.longest_s = 0.0
        self._tally = tally

    async def watch(self) -> None:
        """Look for ever."""
        count, last_at = self._tally.decisions, time.monotonic()
        while True:
            await asyncio.sleep(0.005)
            if self._tally.decisions > count:
                count, last_at = self._tally.decisions, time.monotonic()
            self.longest_s = max(self.longest_s, time.monotonic() - last_at)
