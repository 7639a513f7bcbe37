"""`pullarm drill disaster`: a backup, everything destroyed, and the way back, with the time that each step takes."""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.console import Console
from typer import Option

from benchmarks.site import seen
from cli import demo_report
from cli.drill.timed import timed
from cli.driver import Driver
from cli.matrix import drained
from cli.platform import Platform, Settings, command_line
from cli.remote import ControlPlane
from cli.state import State
from cli.tally import Tally
from cli.temporary import temporary_state
from pullarm.client import Client
from pullarm.domain.decision_id import decode
from pullarm.domain.errors import PullarmError
from pullarm.storage.postgres import Database, PostgresLedger
from replay import synthetic
from serving.settings import read_keys


class StepFailed(PullarmError):
    """A command of the drill failed."""

    code = "step_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it."""

    took_s: Mapping[str, float]
    """Each step, as its command takes; `away`: from the destruction until every process serves the experiment again."""
    bytes: int
    """Of the backup."""
    kept: int
    """Decisions that were acknowledged before the backup."""
    missing: int
    """Of these, and their rewards, those that the ledger does not have."""
    since: int
    """Decisions that were acknowledged later, and lost but for what the backup caught."""
    lost: int
    """Of these and their rewards."""
    late_reward: str
    """The status of a reward, sent at the end, for a decision of before the disaster."""
    verified: bool

    @property
    def sound(self) -> bool:
        """All of before the backup is there, learning goes on, and the ledger proves the posterior."""
        return self.verified and not self.missing and self.late_reward == "ACCEPTED"

    def as_json(self) -> dict[str, object]:
        """What a script reads."""
        return {
            "took_s": self.took_s,
            "backup_bytes": self.bytes,
            "decisions_before_the_backup": self.kept,
            "missing": self.missing,
            "decisions_since": self.since,
            "lost_with_the_disaster": self.lost,
            "late_reward": self.late_reward,
            "verify": "clean" if self.verified else "differences",
            "sound": self.sound,
        }


def command(
    decisions: Annotated[
        int, Option(min=10, help="Before the backup; half as many after it, and at the end.")
    ] = 20_000,
    rate: Annotated[float, Option(min=1, help="Decisions a second.")] = 500.0,
    seed: Annotated[int, Option(min=0, help="Of the traffic.")] = 1,
) -> None:
    """Back up a platform made for it, kill it, remove its state folder, and bring it back from the backup and its keys.

    The steps are `pullarm backup`, `restore`, `up`, `republish` and `verify`, as in docs/runbook.md. Exits with 1 where
    anything from before the backup is missing, or the ledger does not prove the posterior.
    """
    console = Console(stderr=True)

    def report(message: str) -> None:
        demo_report.tell(console, message)

    outcome = asyncio.run(recovered(report, decisions=decisions, rate=rate, seed=seed))
    print(json.dumps(outcome.as_json()), flush=True)
    sys.exit(0 if outcome.sound else 1)


async def recovered(
    report: Callable[[str], None], *, decisions: int, rate: float, seed: int
) -> Outcome:
    """Lose a platform, and bring it back."""
    traffic, took_s = synthetic.Visits(seed=seed), dict[str, float]()
    before, since, after = Tally(), Tally(), Tally()
    with temporary_state("disaster") as folder, tempfile.TemporaryDirectory() as elsewhere:
        safe, keys = Path(elsewhere), State(folder=folder).decision_keys
        settings = Settings(state=folder, grpc_port=0, http_port=0)
        async with Platform(settings, report) as platform:
            reference = await asyncio.to_thread(_launch, platform, [a.id for a in traffic.arms])
            await seen(platform.grpc_address, reference)
            await _driver(platform, reference, traffic, before).live(decisions, rate)
            await drained(platform)
            more = _driver(platform, reference, traffic, since)
            load = asyncio.create_task(more.live(decisions // 4, rate))
            with timed(took_s, "backup"):
                await _run(report, "backup", safe / "ledger.dump", "--state", folder)
            shutil.copy2(keys, safe)
            await load
            await more.live(decisions // 4, rate)
            platform.kill()
        destroyed = time.monotonic()
        shutil.rmtree(folder)
        report(f"killed, and {folder} is removed; left are a backup and the decision keys")
        folder.mkdir()
        shutil.copy2(safe / keys.name, keys)
        with timed(took_s, "restore"):
            await _run(report, "restore", safe / "ledger.dump", "--state", folder)
        began = time.monotonic()
        async with Platform(settings, report) as platform:
            await seen(platform.grpc_address, reference)
            took_s["up"] = round(time.monotonic() - began, 2)
            took_s["away"] = round(time.monotonic() - destroyed, 2)
            await _driver(platform, reference, traffic, after).live(decisions // 2, rate)
            async with Client(platform.grpc_address, timeout_s=10) as client:
                status = await client.reward(before.decision_ids[-1], 1.0)
            with timed(took_s, "republish"):
                await _run(report, "republish", "--state", folder)
            await drained(platform)
            with timed(took_s, "verify"):
                verified = await _run(report, "verify", "--state", folder, fails=True)
            return Outcome(
                took_s=took_s,
                bytes=(safe / "ledger.dump").stat().st_size,
                kept=before.decisions,
                missing=await _missing(platform, before) + await _missing(platform, after),
                since=since.decisions,
                lost=await _missing(platform, since),
                late_reward=status,
                verified=verified,
            )


def _launch(platform: Platform, arms: list[str]) -> str:
    with ControlPlane(platform.http_url, platform.token) as control:
        return str(control.start(control.create({"name": "Drill", "arms": arms})["id"])["id"])


def _driver(platform: Platform, reference: str, traffic: synthetic.Visits, tally: Tally) -> Driver:
    return Driver(platform.grpc_address, reference, traffic, tally)


async def _run(report: Callable[[str], None], *arguments: str | Path, fails: bool = False) -> bool:
    """Whether a command succeeds, its output told; raises StepFailed where it must."""
    words = [str(each) for each in arguments]
    done = await asyncio.to_thread(
        subprocess.run, command_line(*words), check=False, capture_output=True, text=True
    )
    report("\n".join([f"pullarm {' '.join(words)}", *done.stdout.splitlines()]))
    if done.returncode != 0 and not fails:
        raise StepFailed(f"pullarm {words[0]} failed: {done.stderr}")
    return done.returncode == 0


async def _missing(platform: Platform, tally: Tally) -> int:
    ring = read_keys(platform.environment)
    uids = [
        [decode(text, ring).uid for text in ids] for ids in (tally.decision_ids, tally.rewarded_ids)
    ]
    async with Database(platform.environment["DATABASE_URL"], max_connections=1) as database:
        return await PostgresLedger(database).missing(*uids)
