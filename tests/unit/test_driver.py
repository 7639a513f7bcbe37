"""Simulated time: who is to act next, and how far time may run ahead of who has not finished."""

import asyncio
from pathlib import Path

from cli.driver import History, _Steps
from pullarm.clock import FileClock
from replay import synthetic
from replay.traffic import Visit

HOUR_MS = 3_600_000
START_MS = 1_000 * HOUR_MS
END_MS = START_MS + 48 * HOUR_MS


def steps(folder: Path, *, decisions: int) -> tuple[_Steps, FileClock]:
    clock = FileClock.create(folder / "clock", START_MS)
    history = History(clock=clock, start_ms=START_MS, end_ms=END_MS, decisions=decisions, seed=1)
    return _Steps(synthetic.Visits(seed=1).visits(), history), clock


async def test_time_goes_on_with_the_visits_and_rewards_follow_theirs(tmp_path: Path) -> None:
    following, clock = steps(tmp_path, decisions=48)
    times, delays = [], []
    decided_ms = {}
    while (step := await following.next()) is not None:
        at_ms, what = step
        assert clock() == at_ms
        times.append(at_ms)
        if isinstance(what, Visit):
            decided_ms[str(len(times))] = at_ms
            following.reward((str(len(times)), "ucb"))
        else:
            delays.append(at_ms - decided_ms[what[0]])
        following.done(at_ms)
    assert times == sorted(times)
    assert (times[0], len(decided_ms), len(delays)) == (START_MS, 48, 48)
    assert times[-1] <= END_MS
    assert 0 < sum(delays) / 48 < HOUR_MS, "20 minutes on average"


async def test_time_waits_for_a_call_that_takes_long(tmp_path: Path) -> None:
    following, clock = steps(tmp_path, decisions=48)
    slow = await following.next()
    assert slow is not None
    for _ in range(6):
        step = await following.next()
        assert step is not None
        following.done(step[0])
    assert clock() == START_MS + 6 * HOUR_MS
    waiting = asyncio.create_task(following.next())
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    assert not done
    assert clock() == START_MS + 6 * HOUR_MS
    following.done(slow[0])
    step = await waiting
    assert step is not None
    assert step[0] == clock() == START_MS + 7 * HOUR_MS
