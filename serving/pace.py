"""How long the next stream entry waits for more events."""

import time
from collections.abc import Callable

BUSY = 0.5
"""The share of the time that the event loop's thread computes, from which on it is worth saving it work."""
WINDOW_S = 0.02
ENOUGH = 64
"""Events of an entry that share its cost so well that the next one need not wait."""


class Pace:
    """Waits only while the event loop is busy, and the longer the busier it is.

    Then one `send`, one answer and one turn of the loop serve many requests, and what an entry waits its requests would
    have waited for the processor. While there is time to spare, an entry goes as soon as the one before is stored.
    """

    def __init__(
        self,
        linger_s: float,
        now: Callable[[], float] = time.monotonic,
        computed: Callable[[], float] = time.thread_time,
    ) -> None:
        self._linger_s = linger_s
        self._now = now
        self._computed = computed
        self._since = self._used = 0.0
        self._pause_s = 0.0

    def pause_s(self, events: int) -> float:
        """How long to wait before the next entry, at most `linger_s`; asked once one of so many events is stored."""
        elapsed = self._now() - self._since
        if elapsed > WINDOW_S:
            used = self._computed()
            share = (used - self._used) / elapsed
            self._pause_s = self._linger_s * min(max((share - BUSY) / (1.0 - BUSY), 0.0), 1.0)
            self._since, self._used = self._since + elapsed, used
        return self._pause_s if events < ENOUGH else 0.0
