"""What was folded of traced requests, in memory."""

from collections import defaultdict, deque
from collections.abc import Sequence
from functools import partial

from pullarm.domain.ports import Mark

MOST = 1_000


class MemoryTraces:
    """Marks of one process."""

    def __init__(self) -> None:
        self._marks: defaultdict[int, deque[Mark]] = defaultdict(partial(deque, maxlen=MOST))

    async def leave(self, number: int, marks: Sequence[Mark]) -> None:
        """Add marks to an experiment's; only the newest are kept."""
        self._marks[number].extend(marks)

    async def left(self, number: int, since: int, upto: int) -> list[Mark]:
        """Those of the folds after `since`, up to `upto`."""
        return [mark for mark in self._marks[number] if since < mark.fold_no <= upto]
