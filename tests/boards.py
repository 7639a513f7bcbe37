"""A board in memory that can be emptied, go away, be slow and lose things, with two experiments on it."""

import asyncio

from pullarm.domain.errors import Unavailable
from pullarm.domain.ports import BoardIndex
from pullarm.domain.publication import Head, Published
from pullarm.storage.memory import MemoryBoard
from serving.refresher import Refresher
from serving.snapshot import Served
from tests.builders import cells, experiment, publication

SEVEN = experiment("thompson", "control")
EIGHT = experiment("ucb", number=8)
OUTCOMES = cells("thompson", (10, 4), (20, 3), (5, 1))


class Board(MemoryBoard):
    """A board that can be emptied, go away and lose an experiment between two looks."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.lost: set[int] = set()
        self.reads = 0
        self.slow_s = 0.0

    def empty(self) -> None:
        MemoryBoard.__init__(self)

    def clear_halt(self, number: int) -> None:
        del self._halts[number]

    async def index(self) -> BoardIndex:
        if self.away:
            raise Unavailable("Redis is away: refused")
        return await super().index()

    async def read(self, number: int, have: Head | None) -> Published | None:
        self.reads += 1
        await asyncio.sleep(self.slow_s)
        return None if number in self.lost else await super().read(number, have)


async def both_published() -> Board:
    """A board with both experiments, complete."""
    board = Board()
    await board.publish(publication(SEVEN, OUTCOMES))
    await board.publish(publication(EIGHT))
    await board.complete("one", [7, 8])
    return board


def served(refresher: Refresher, number: int = 7) -> Served:
    """An experiment as requests see it."""
    return refresher.snapshot.by_number[number]
