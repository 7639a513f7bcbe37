"""The snapshot follows the board; whatever is wrong with the board, what is served stays sound."""

import asyncio
import contextlib
import logging
from dataclasses import replace

import numpy as np
import pytest

from pullarm.domain.errors import NotFound, Unavailable
from pullarm.domain.experiment import Arm, Catalogue
from pullarm.domain.ports import BoardIndex
from pullarm.policies.grid import Grid
from serving import refresher as module
from serving.refresher import Refresher
from tests.boards import EIGHT, OUTCOMES, SEVEN, Board, both_published, served
from tests.builders import cells, experiment, grid, publication


@pytest.fixture
async def board() -> Board:
    return await both_published()


@pytest.fixture
async def refresher(board: Board) -> Refresher:
    refresher = Refresher(board)
    await refresher.refresh()
    return refresher


async def test_incomplete_board_changes_nothing() -> None:
    board, completed = Board(), list[bool]()
    refresher = Refresher(board, lambda: completed.append(True))
    await board.publish(publication(EIGHT))
    await refresher.refresh()
    assert not refresher.snapshot.complete
    assert completed == []
    with pytest.raises(Unavailable):
        refresher.snapshot.find("exp_8")
    await board.complete("one", [8])
    await refresher.refresh()
    assert refresher.snapshot.find("exp_8").head.pub_no == 1
    await board.complete("one", [8])
    await refresher.refresh()
    assert completed == [True]


async def test_complete_board_without_experiments_is_complete() -> None:
    board = Board()
    await board.complete("one", [])
    refresher = Refresher(board)
    await refresher.refresh()
    with pytest.raises(NotFound):
        refresher.snapshot.find("exp_7")


async def test_difference_refreshes_its_experiment_and_leaves_the_other(
    board: Board, refresher: Refresher
) -> None:
    first = refresher.snapshot
    await board.publish(
        publication(
            SEVEN,
            cells("thompson", (10, 5)),
            pub_no=2,
            complete=False,
            planned=grid(SEVEN, OUTCOMES),
            new_grid=False,
        )
    )
    await refresher.refresh()
    assert refresher.snapshot is not first
    assert served(refresher).head.pub_no == 2
    assert served(refresher, 8) is first.by_number[8]
    assert first.by_number[7].head.pub_no == 1


async def test_board_without_changes_is_not_read(board: Board, refresher: Refresher) -> None:
    board.reads, first = 0, refresher.snapshot
    await refresher.refresh()
    assert board.reads == 0
    assert refresher.snapshot is first


async def test_change_of_one_experiment_reads_that_one_only(
    board: Board, refresher: Refresher
) -> None:
    board.reads = 0
    await board.publish(publication(EIGHT, pub_no=2))
    await refresher.refresh()
    assert board.reads == 1
    assert served(refresher, 8).head.pub_no == 2


async def test_full_look_finds_what_the_change_number_did_not_tell(
    board: Board, refresher: Refresher, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await board.index()
    await board.publish(publication(EIGHT, pub_no=2))

    async def unmoved() -> BoardIndex:
        return before

    monkeypatch.setattr(board, "index", unmoved)
    await refresher.refresh()
    assert served(refresher, 8).head.pub_no == 1
    monkeypatch.setattr(module, "FULL_LOOK_S", 0.0)
    await refresher.refresh()
    assert served(refresher, 8).head.pub_no == 2


async def test_refused_publication_is_not_read_again_with_every_change(
    board: Board, refresher: Refresher
) -> None:
    await board.publish(publication(replace(SEVEN, config_no=2, buckets=b""), OUTCOMES, pub_no=2))
    await refresher.refresh()
    board.reads = 0
    await board.publish(publication(EIGHT, pub_no=2))
    await refresher.refresh()
    assert board.reads == 1
    assert refresher.refused == 1
    assert "buckets" in refresher.problems[7]


async def test_unsound_publication_keeps_its_predecessor_and_is_counted_and_named(
    board: Board, refresher: Refresher, caplog: pytest.LogCaptureFixture
) -> None:
    first = served(refresher)
    unsound = replace(SEVEN, config_no=2, buckets=b"")
    await board.publish(publication(unsound, OUTCOMES, pub_no=2))
    await board.publish(publication(EIGHT, pub_no=2))
    await refresher.refresh()
    assert served(refresher) is first
    assert served(refresher, 8).head.pub_no == 2
    assert refresher.refused == 1
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "experiment 7" in record.message
    assert "buckets" in record.message

    await board.publish(publication(replace(SEVEN, config_no=3), OUTCOMES, pub_no=3))
    await refresher.refresh()
    assert served(refresher).head.pub_no == 3
    assert refresher.refused == 1


async def test_unsound_publication_does_not_keep_a_fresh_process_from_the_others() -> None:
    board = Board()
    await board.publish(publication(replace(SEVEN, buckets=b""), OUTCOMES))
    await board.publish(publication(EIGHT))
    await board.complete("one", [7, 8])
    refresher = Refresher(board)
    await refresher.refresh()
    assert refresher.snapshot.complete
    assert set(refresher.snapshot.by_number) == {8}
    with pytest.raises(Unavailable):  # it may well exist
        refresher.snapshot.find("exp_7")


async def test_new_arms_are_served(board: Board, refresher: Refresher) -> None:
    grown = replace(EIGHT, arms=(*EIGHT.arms, Arm(arm_no=4, arm_id="four")), config_no=2)
    await board.publish(publication(grown, pub_no=2, complete=False, reconfigured=True))
    await refresher.refresh()
    assert served(refresher, 8).arms.rows["four"] == 3


async def test_first_arms_of_an_open_catalogue_are_served() -> None:
    board = Board()
    empty = experiment("thompson", arms=(), catalogue=Catalogue.OPEN)
    planned = grid(empty, [])
    await board.publish(publication(empty, planned=planned))
    await board.complete("one", [7])
    refresher = Refresher(board)
    await refresher.refresh()
    assert served(refresher).arms.ids == ()
    grown = replace(empty, arms=SEVEN.arms, config_no=2)
    await board.publish(
        publication(
            grown,
            pub_no=2,
            complete=False,
            reconfigured=True,
            planned=planned,
            new_grid=False,
        )
    )
    await refresher.refresh()
    assert refresher.refused == 0
    assert served(refresher).arms.ids == ("one", "two", "three")


async def test_new_grid_is_taken_with_its_publication(board: Board, refresher: Refresher) -> None:
    old = served(refresher).grid
    assert old is not None
    finer = Grid(number=2, points=np.linspace(0.0, np.pi / 2, 200))
    await board.publish(publication(SEVEN, OUTCOMES, pub_no=2, complete=False, planned=finer))
    await refresher.refresh()
    new = served(refresher).grid
    assert new is not None
    assert (new.number, new.points.tolist()) == (2, finer.points.tolist())
    assert refresher.refused == 0


async def test_emptied_board_keeps_the_snapshot_until_a_complete_new_one_is_there(
    board: Board, refresher: Refresher
) -> None:
    first = refresher.snapshot
    board.empty()
    await refresher.refresh()
    await board.publish(publication(SEVEN, OUTCOMES, pub_no=9, incarnation="two"))
    await refresher.refresh()
    assert refresher.snapshot is first
    await board.complete("two", [7])
    await refresher.refresh()
    assert set(refresher.snapshot.by_number) == {7}
    assert served(refresher).head.incarnation == "two"


async def test_experiment_lost_from_the_board_is_served_on(
    board: Board, refresher: Refresher
) -> None:
    board.lost = {7}
    await board.publish(publication(EIGHT, pub_no=2))
    await refresher.refresh()
    assert served(refresher).head.pub_no == 1
    assert served(refresher, 8).head.pub_no == 2


async def test_experiment_the_board_no_longer_lists_is_served_on(
    board: Board, refresher: Refresher
) -> None:
    board.empty()
    await board.publish(publication(EIGHT, pub_no=2))
    await board.complete("one", [8])
    await refresher.refresh()
    assert (served(refresher).head.pub_no, served(refresher, 8).head.pub_no) == (1, 2)
    await board.complete("another", [8])
    await refresher.refresh()
    assert set(refresher.snapshot.by_number) == {8}


async def test_board_emptied_between_two_looks_does_not_make_a_fresh_process_ready(
    board: Board,
) -> None:
    board.lost, completed = {7, 8}, list[bool]()
    refresher = Refresher(board, lambda: completed.append(True))
    with pytest.raises(Unavailable, match="experiment 7"):
        await refresher.refresh()
    assert (refresher.snapshot.by_number, completed) == ({}, [])
    board.lost = set()
    await refresher.refresh()
    assert set(refresher.snapshot.by_number) == {7, 8}
    assert completed == [True]


async def test_board_that_goes_away_is_told_once_and_waited_for(
    board: Board,
    refresher: Refresher,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.001)
    first, board.away = refresher.snapshot, True
    caplog.set_level(logging.INFO)
    running = asyncio.create_task(refresher.run())
    await asyncio.sleep(0.05)
    assert refresher.snapshot is first
    await board.publish(publication(EIGHT, pub_no=2))
    board.away = False
    async with asyncio.timeout(30):
        while served(refresher, 8).head.pub_no != 2:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    told = [record.message for record in caplog.records]
    assert told == [
        "snapshot is not refreshed: Redis is away: refused",
        "board is back; snapshot is fresh",
    ]


async def test_cancellation_that_the_driver_swallows_ends_it_all_the_same(
    board: Board, refresher: Refresher, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, index = asyncio.Event(), await board.index()

    async def swallowing() -> BoardIndex:
        asked.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return index

    monkeypatch.setattr(board, "index", swallowing)
    running = asyncio.create_task(refresher.run())
    await asked.wait()
    running.cancel()
    async with asyncio.timeout(30):
        await asyncio.wait([running])
    assert running.done()
