"""A changed configuration takes effect at its moment, on every server at once; halts do not wait for it."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from pullarm.domain.decision import Reason
from pullarm.domain.experiment import EFFECT_DELAY, Experiment, State
from pullarm.storage.memory.experiments import at
from serving.refresher import Refresher
from tests.boards import EIGHT, Board, both_published, served
from tests.builders import FixedClock, cells, publication
from tests.ledger_events import START_MS

DELAY_S = EFFECT_DELAY.total_seconds()


class Hands:
    """The machine's clock, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def revised(
    of: Experiment, config_no: int, *, after_s: float = 0.0, traffic: float = 0.5
) -> Experiment:
    """A change made so long after the clocks' moment."""
    spec = replace(of.spec, traffic_pct=traffic)
    changed_at = at(START_MS) + timedelta(seconds=after_s)
    return replace(of, spec=spec, config_no=config_no, updated_at=changed_at)


@pytest.fixture
async def board() -> Board:
    return await both_published()


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
async def refresher(board: Board, hands: Hands, clock: FixedClock) -> Refresher:
    refresher = Refresher(board, monotonic=hands, clock=clock)
    await refresher.refresh()
    return refresher


async def publish(board: Board, of: Experiment, pub_no: int, rewarded: float = 0) -> None:
    await board.publish(publication(of, cells("ucb", (9, rewarded)), pub_no=pub_no))


async def test_a_change_waits_for_its_moment_with_the_posteriors_that_come_meanwhile(
    board: Board, refresher: Refresher, hands: Hands
) -> None:
    changed = revised(EIGHT, 2)
    await publish(board, changed, 2)
    await refresher.refresh()
    board.reads = 0
    await refresher.refresh()
    assert (served(refresher, 8).head.pub_no, board.reads) == (1, 0)
    await publish(board, changed, 3, rewarded=4)
    hands.now_s += DELAY_S - 0.01
    await refresher.refresh()
    assert served(refresher, 8).head.pub_no == 1
    hands.now_s += 0.01
    await refresher.refresh()
    assert served(refresher, 8).head.pub_no == 3
    assert served(refresher, 8).experiment == changed


async def test_changes_in_a_row_take_effect_each_at_its_moment(
    board: Board, refresher: Refresher, hands: Hands, clock: FixedClock
) -> None:
    for config_no in (2, 3, 4):
        after_s = (config_no - 2) * 0.2
        await publish(board, revised(EIGHT, config_no, after_s=after_s), config_no)
        await refresher.refresh()
        assert served(refresher, 8).head.config_no == 1
        hands.now_s += 0.2
        clock.now_ms += 200
    for config_no in (2, 3, 4):
        await refresher.refresh()
        assert served(refresher, 8).head.config_no == config_no
        hands.now_s += 0.2


async def test_what_comes_too_late_or_from_a_clock_that_is_wrong_waits_no_longer(
    board: Board, refresher: Refresher, hands: Hands
) -> None:
    await publish(board, revised(EIGHT, 2, after_s=-DELAY_S), 2)
    await refresher.refresh()
    assert served(refresher, 8).head.config_no == 2
    await publish(board, revised(EIGHT, 3, after_s=3_600), 3)
    await refresher.refresh()
    hands.now_s += DELAY_S
    await refresher.refresh()
    assert served(refresher, 8).head.config_no == 3


@pytest.mark.parametrize("published", [False, True])
async def test_a_halt_does_not_wait(board: Board, refresher: Refresher, published: bool) -> None:
    await publish(board, revised(EIGHT, 2), 2)
    await refresher.refresh()
    if published:
        await publish(board, replace(revised(EIGHT, 3), state=State.STOPPED), 3)
    else:
        await board.halt(8, State.STOPPED)
    await refresher.refresh()
    assert served(refresher, 8).standing is Reason.NOT_RUNNING


async def test_servers_that_heard_at_different_times_switch_together(
    board: Board, hands: Hands, clock: FixedClock
) -> None:
    early, late = [Refresher(board, monotonic=hands, clock=clock) for _ in range(2)]
    for each in (early, late):
        await each.refresh()
    await publish(board, revised(EIGHT, 2), 2)
    await early.refresh()
    clock.now_ms += 300
    hands.now_s += 0.3
    await late.refresh()
    for passed_s, config_no in ((DELAY_S - 0.31, 1), (0.01, 2)):
        hands.now_s += passed_s
        for each in (early, late):
            await each.refresh()
            assert served(each, 8).head.config_no == config_no


async def test_nobody_has_to_look_at_the_board_for_it(board: Board, clock: FixedClock) -> None:
    refresher = Refresher(board, clock=clock)
    await refresher.refresh()
    await publish(board, revised(EIGHT, 2), 2)
    await refresher.refresh()
    async with asyncio.timeout(30):
        while served(refresher, 8).head.config_no == 1:
            await asyncio.sleep(0.005)
