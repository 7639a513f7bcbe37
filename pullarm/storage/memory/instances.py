"""The processes of a platform, in memory."""

import time
from collections.abc import Callable

from pullarm.domain.instance import FORGOTTEN_MS, Heard, Instance


class MemoryInstances:
    """Which processes there are, by a clock in seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._told: dict[str, tuple[float, Instance]] = {}

    async def tell(self, instance: Instance) -> None:
        """Say that a process lives, and how it is; those that have been silent for long are forgotten."""
        self._told[instance.identity] = self._monotonic(), instance
        self._told = {
            each.instance.identity: self._told[each.instance.identity] for each in await self.all()
        }

    async def forget(self, instance: Instance) -> None:
        """A process has ended."""
        self._told.pop(instance.identity, None)

    async def all(self) -> list[Heard]:
        """Those that were heard of lately, in the order of their identities."""
        now_s = self._monotonic()
        heard = [
            Heard(instance, now_s - at_s) for _, (at_s, instance) in sorted(self._told.items())
        ]
        return [each for each in heard if each.silent_s < FORGOTTEN_MS / 1_000]
