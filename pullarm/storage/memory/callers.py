"""Who may call serving, in memory."""

from collections.abc import Sequence

from pullarm.domain.access import Caller
from pullarm.domain.ports import Posted


class MemoryCallers:
    """What is posted for one process."""

    def __init__(self) -> None:
        self._posted: Posted | None = None
        self._number = 0

    async def post(self, callers: Sequence[Caller]) -> bool:
        """Make these the ones; False where they are already."""
        if self._posted is not None and self._posted.callers == tuple(callers):
            return False
        self._number += 1
        self._posted = Posted(b"%d" % self._number, tuple(callers))
        return True

    async def read(self, have: bytes) -> Posted | None:
        """What is posted; None where nothing is, or what has this stamp."""
        posted = self._posted
        return None if posted is None or posted.stamp == have else posted
