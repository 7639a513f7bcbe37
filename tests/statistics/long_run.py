"""The figures of the tests beside this file, at full size: `python -m tests.statistics.long_run [PART ...]`.

Prints what was measured and how often. All takes about half an hour of two processors, `verdicts` a third of that.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import get_args

import numpy as np

from cli.embedded import Wanted, embedded_services
from pullarm.statistics.bernoulli import ERRORS, SLOW
from pullarm.statistics.guardrails.drop import EVERY_TWO_DAYS
from tests.guarding import guarding
from tests.services import fresh_database, make_template
from tests.state_folders import temporary_state
from tests.statistics.arm_means import coverage
from tests.statistics.guardrails import (
    AT_ONCE,
    CHECKS,
    days_to_a_drop,
    false_drops,
    raised,
    share_trips,
)
from tests.statistics.logged_worlds import Logger, covered, evaluated
from tests.statistics.population import CHECKS_A_DAY
from tests.statistics.processes import at_once
from tests.statistics.verdicts import rates_at_once

ALL = range(CHECKS)
FOUR = ("thompson", "egreedy", "ucb", "control")
HOURLY = range(11, CHECKS, 12)


def verdicts() -> None:
    """Any of three ships under no effect; one ships at +5 %; all three are killed at -3 %. Beside it the usual rule."""
    for name, users, effects, first, known in (
        ("no effect", 10_000, [1.0] * 3, 2e7, False),
        ("no effect", 40_000, [1.0] * 3, 3e7, False),
        ("+5 %", 40_000, [1.05], 7.1e7, False),
        ("-3 %", 40_000, [0.97] * 3, 9e7, False),
        ("no effect, 40 % known from before", 10_000, [1.0] * 3, 2e7, True),
        ("+5 %, 40 % known from before", 40_000, [1.05], 7.1e7, True),
    ):
        began = time.monotonic()
        found = rates_at_once(users, effects, seeds(first, 5_000), known=known)
        took = time.monotonic() - began
        print(f"{name}, {users:,} users a policy, 5,000 runs in {took:.0f} s:", found, flush=True)


def drops() -> None:
    """Reward drops: false ones in 14 days, and days until a true one is found."""
    for name, schedule in (("from the start", AT_ONCE), ("every two days", EVERY_TWO_DAYS)):
        found = false_drops(20.0, HOURLY, seeds(2.1e6, 400), schedule=schedule)
        print(f"no drop, tests {name}, looks hourly, 400 runs:", found)
    print("no drop, looks every 5 min, 200 runs:", false_drops(20.0, ALL, seeds(2.1e6, 200)))
    looks = range(3 * CHECKS_A_DAY)
    told("-10 %, 100 a check, 400 runs", days_to_a_drop(100.0, looks, seeds(2.5e6, 400)))
    for name, schedule in (("from the start", AT_ONCE), ("every two days", EVERY_TWO_DAYS)):
        took = days_to_a_drop(100.0, HOURLY, seeds(2.6e6, 100), from_day=5, schedule=schedule)
        told(f"-10 % from day 5, tests {name}, 100 runs", took)


def shares() -> None:
    """Error rates and slow answers well below the limit, and after a jump on day 5."""
    rng, onset = np.random.default_rng(20240115), 5 * CHECKS_A_DAY
    for name, before, limit, prior, jumps in (
        ("errors", 0.005, 0.01, ERRORS, (0.02, 0.10)),
        ("slow", 0.035, 0.05, SLOW, (0.10,)),
    ):
        counts = rng.binomial(83, before, (200, CHECKS))
        tripped = np.isfinite(share_trips(rng, counts, 83, ALL, at_most=limit, prior=prior)).mean()
        print(f"{name} {before}, every 5 min, 14 days, 200 runs: {tripped} trip")
        for after in jumps:
            share = np.where(np.arange(CHECKS) < onset, before, after)
            counts = rng.binomial(83, share, (1_000, CHECKS))
            looks = range(onset, onset + 100)
            took = share_trips(rng, counts, 83, looks, at_most=limit, prior=prior) - onset + 1
            told(f"{name} {before} to {after}, 1,000 runs, minutes", 5.0 * took, within=(10, 60))


def arms() -> None:
    """Coverage of 95 % intervals of equal arms."""
    for floor in (0.05, 0.10):
        found = coverage([0.1] * 3, decisions=10_000, floor=floor, runs=2_000, seed=77_001)
        print(f"three arms, floor {floor}, 10,000 decisions, 2,000 runs:", found)


def off_policy() -> None:
    """Coverage of 95 % intervals of what a policy would have earned, on logs of loggers that stay and that learn."""
    for logger in get_args(Logger):
        found = covered(list(evaluated(logger, 4_000, seed=8_009)))
        print(f"{logger} logger, 250 users, 2,400 rounds, 4,000 runs:", found)


def epochs() -> None:
    """A policy that is as good as control, raised from 2 % to 40 % on day 5.

    What is judged from the raise on is the guard epoch's own, so what came before has no part in it: some are rolled
    back by chance, as of any epoch, at most `drop.ALPHA` in 14 days.
    """
    found = at_once(raised, seeds(5e6, 5_000))
    for name in ("ours", "pooled"):
        share = np.mean([getattr(each, name) for each in found])
        print(f"2 % to 40 % on day 5, 5,000 runs of 3 days more, {name}: {share} are rolled back")


def loop() -> None:
    """The job itself on PostgreSQL and Valkey: 4,032 checks of four equal policies."""
    asyncio.run(_loop())


async def _loop() -> None:
    with temporary_state() as folder:
        async with embedded_services(folder, Wanted(durable=False), print) as addresses:
            await make_template(addresses["DATABASE_URL"])
            async with (
                fresh_database(addresses["DATABASE_URL"]) as database_url,
                guarding(
                    database_url, addresses["REDIS_URL"], policies=FOUR, seed=20261122
                ) as guarded,
            ):
                await guarded.serve(0, CHECKS)
                await guarded.start_tests(CHECKS - 1)
                began = time.monotonic()
                found = await guarded.until_rolled_back(ALL, guarded.rewarded(ALL))
                took = time.monotonic() - began
                history = await guarded.store.history(1, "error_rate", before=None, count=CHECKS)
                print(
                    f"four equal policies, 14 days, {len(history)} checks in {took:.0f} s: "
                    + ("none is rolled back" if found is None else f"rolled back at check {found}")
                )


PARTS: dict[str, Callable[[], None]] = {
    "verdicts": verdicts,
    "drops": drops,
    "shares": shares,
    "epochs": epochs,
    "loop": loop,
    "arms": arms,
    "off_policy": off_policy,
}


def seeds(first: float, runs: int) -> range:
    """So many from the first on."""
    return range(int(first), int(first) + runs)


def told(what: str, took: np.ndarray, *, within: tuple[int, ...] = (1, 3)) -> None:
    """Print when something was found: the median, the shares found within so long, at all, and before onset."""
    shares = ", ".join(f"{(took <= most).mean():.3f} by {most}" for most in within)
    found, early = np.isfinite(took).mean(), (took < 0).mean()
    print(f"{what}: median {np.median(took):.3g}, {shares}, {found:.3f} at all, {early:.3f} before")


if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
