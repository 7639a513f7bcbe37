"""Time as a parameter: milliseconds since 1970, from the machine or from a file that a simulation writes.

Every process reads business time from its clock and nowhere else, so that 14 days can be run in minutes through the
real code. Durations (timeouts, back-off, latency) stay with the machine's monotonic clock.
"""

import mmap
import time
from collections.abc import Callable
from pathlib import Path

from pullarm.domain.errors import ConfigurationError

Clock = Callable[[], int]


def system_clock() -> int:
    """The machine's time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class FileClock:
    """A clock that all processes of one platform share through eight bytes of a mapped file."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 8)

    @classmethod
    def create(cls, path: Path, now_ms: int) -> "FileClock":
        """Set the clock, and make the file where there is none."""
        path.touch()  # never truncated: a process that has it mapped would die of SIGBUS
        with path.open("r+b") as file:
            file.write(now_ms.to_bytes(8, "little"))
        return cls(path)

    def __call__(self) -> int:
        return int.from_bytes(self._memory[:8], "little")

    def set(self, now_ms: int) -> None:
        """Move the clock, for every process that reads it."""
        self._memory[:8] = now_ms.to_bytes(8, "little")


def clock_from(setting: str) -> Clock:
    """The clock a setting names: `system` or `file:PATH`."""
    if setting == "system":
        return system_clock
    scheme, _, path = setting.partition(":")
    if scheme == "file" and Path(path).is_file():
        return FileClock(Path(path))
    raise ConfigurationError(f"PULLARM_CLOCK={setting!r}: use 'system' or 'file:PATH' of a clock")
