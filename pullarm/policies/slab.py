"""One growing store for the rows of all snapshots of a policy, so that a swap copies no table."""

from __future__ import annotations

from threading import Lock

import numpy as np
from numpy.typing import NDArray


class Slab:
    """A float32 store whose space is handed out once and never written again.

    Snapshots share it and hold offsets into it: what a newer snapshot appends, an older one in
    use never sees.
    """

    __slots__ = ("_lock", "_used", "values")

    def __init__(self, capacity: int) -> None:
        self.values: NDArray[np.float32] = np.empty(capacity, dtype=np.float32)
        self._used = 0
        self._lock = Lock()

    def take(self, size: int) -> int | None:
        """The offset of `size` values that are the caller's to write; None if too few are left."""
        with self._lock:
            offset = self._used
            if offset + size > len(self.values):
                return None
            self._used += size
            return offset
