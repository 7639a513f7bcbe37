"""The snapshot's age is measured from beats that were seen, on this process's own clock."""

import pytest

from pullarm.domain.errors import Unavailable
from pullarm.domain.publication import Head, Published
from serving.refresher import Refresher
from tests.boards import EIGHT, Board, both_published
from tests.builders import publication


@pytest.fixture
async def board() -> Board:
    return await both_published()


class Monotonic:
    """A monotonic clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


async def test_age_is_the_time_since_a_beat_was_seen_and_all_was_read(board: Board) -> None:
    clock = Monotonic()
    refresher = Refresher(board, monotonic=clock)
    clock.now_s += 3
    await board.beat()
    await refresher.refresh()
    assert refresher.age_s() == 3  # nobody knows how old the beat is that is seen first
    clock.now_s += 1
    await board.beat()
    await board.publish(publication(EIGHT, pub_no=2))
    await refresher.refresh()
    assert refresher.age_s() == 0
    clock.now_s += 7
    await board.publish(publication(EIGHT, pub_no=3))
    await refresher.refresh()
    assert refresher.age_s() == 7  # published and read, but nobody says that this is all
    assert refresher.contact_age_s() == 0
    await board.beat()
    await refresher.refresh()
    assert refresher.age_s() == 0


async def test_beat_of_an_emptied_board_counts_too(board: Board) -> None:
    clock = Monotonic()
    refresher = Refresher(board, monotonic=clock)
    for _ in range(5):
        await board.beat()
    await refresher.refresh()
    board.empty()
    await board.publish(publication(EIGHT))
    await board.beat()
    clock.now_s += 4
    await refresher.refresh()
    assert (refresher.age_s(), refresher.contact_age_s()) == (4, 4)  # it is not complete
    await board.complete("one", [8])
    await refresher.refresh()
    assert (refresher.age_s(), refresher.contact_age_s()) == (0, 0)


async def test_age_grows_while_something_is_still_to_be_read(board: Board) -> None:
    clock = Monotonic()
    refresher = Refresher(board, monotonic=clock)
    await refresher.refresh()

    async def away(number: int, have: Head | None) -> Published | None:
        raise Unavailable("Redis is away: refused")

    await board.publish(publication(EIGHT, pub_no=2))
    await board.beat()
    clock.now_s += 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(board, "read", away)
        with pytest.raises(Unavailable):
            await refresher.refresh()
    assert (refresher.age_s(), refresher.contact_age_s()) == (2, 0)
    clock.now_s += 1
    await board.beat()
    await refresher.refresh()
    assert refresher.age_s() == 1  # all that was folded when the first of both beats was seen
    await refresher.refresh()
    assert refresher.age_s() == 0


async def test_board_that_is_away_is_no_contact(board: Board) -> None:
    clock = Monotonic()
    refresher = Refresher(board, monotonic=clock)
    await refresher.refresh()
    board.away = True
    clock.now_s += 60
    with pytest.raises(Unavailable):
        await refresher.refresh()
    assert refresher.contact_age_s() == 60
