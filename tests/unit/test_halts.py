"""A stop or rollback is obeyed at once, whatever else the board says."""

import asyncio

import pytest

from pullarm.domain.decision import Reason
from pullarm.domain.experiment import State
from serving.refresher import Refresher
from tests.boards import EIGHT, Board, both_published, served
from tests.builders import experiment, publication


@pytest.fixture
async def board() -> Board:
    return await both_published()


@pytest.fixture
async def refresher(board: Board) -> Refresher:
    refresher = Refresher(board)
    await refresher.refresh()
    return refresher


async def test_halt_applies_and_stays_whatever_is_published(
    board: Board, refresher: Refresher
) -> None:
    await board.halt(8, State.ROLLED_BACK)
    await refresher.refresh()
    assert served(refresher, 8).standing is Reason.ROLLED_BACK
    await board.publish(publication(EIGHT, pub_no=2))
    await refresher.refresh()
    assert served(refresher, 8).head.pub_no == 2
    assert served(refresher, 8).standing is Reason.ROLLED_BACK


async def test_halt_does_not_wait_for_what_else_there_is_to_read() -> None:
    board, numbers = Board(), range(1, 21)
    for number in numbers:
        await board.publish(publication(experiment(number=number)))
    await board.complete("one", numbers)
    refresher = Refresher(board)
    running = asyncio.create_task(refresher.run())
    async with asyncio.timeout(30):
        while not refresher.snapshot.complete:
            await asyncio.sleep(0.001)
    board.slow_s = 0.05
    for number in numbers:
        await board.publish(publication(experiment(number=number), pub_no=2))
    async with asyncio.timeout(30):
        while not board.reads > 20:
            await asyncio.sleep(0.001)
    await board.halt(20, State.STOPPED)
    async with asyncio.timeout(30):
        while served(refresher, 20).standing is not Reason.NOT_RUNNING:
            await asyncio.sleep(0.001)
    assert served(refresher, 20).head.pub_no == 1
    assert board.reads < 30
    async with asyncio.timeout(30):
        while served(refresher, 20).head.pub_no != 2:
            await asyncio.sleep(0.001)
    assert served(refresher, 20).standing is Reason.NOT_RUNNING
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_halt_that_is_cleared_is_no_longer_obeyed(board: Board, refresher: Refresher) -> None:
    await board.halt(8, State.STOPPED)
    await refresher.refresh()
    assert served(refresher, 8).halt is State.STOPPED
    board.clear_halt(8)
    await board.publish(publication(EIGHT, pub_no=2))
    await refresher.refresh()
    assert (served(refresher, 8).halt, served(refresher, 8).standing) == (None, Reason.ASSIGNED)
