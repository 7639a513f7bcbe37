"""Starts and ends experiments when their schedules say so, the way people do it."""

import asyncio
import logging

from pullarm.clock import Clock
from pullarm.domain.audit import Author
from pullarm.domain.errors import Conflict, Unavailable, VersionMismatch
from pullarm.domain.ports import ExperimentStore
from pullarm.lifecycle import Lifecycle

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
SCHEDULE = Author("schedule", "worker")


class Schedule:
    """Takes the actions that are owed, however long ago they were; what is owed is in the ledger alone."""

    def __init__(self, experiments: ExperimentStore, lifecycle: Lifecycle, clock: Clock) -> None:
        self._experiments = experiments
        self._lifecycle = lifecycle
        self._clock = clock
        self._told: dict[str, str] = {}
        """Why what is owed cannot be done, by experiment; each is told once."""

    async def run(self) -> None:
        """Look for ever; a ledger that is away is waited for."""
        while True:
            try:
                await self.keep()
            except Unavailable as error:
                _log.debug("schedules wait: %s", error)
            await asyncio.sleep(LOOK_EVERY_S)

    async def keep(self) -> None:
        """Take every action that is owed by now."""
        owed = await self._experiments.due(self._clock())
        told, self._told = self._told, {}
        for reference, action in owed:
            try:
                await self._take(reference, action)
            except VersionMismatch:
                continue  # changed just now: it is looked at again
            except Conflict as error:  # another worker was first, or it cannot be started as it is
                if told.get(reference) != str(error):
                    _log.warning("%s: its schedule says %s: %s", reference, action, error)
                self._told[reference] = str(error)

    async def _take(self, reference: str, action: str) -> None:
        if action == "start":
            await self._lifecycle.start(reference, SCHEDULE)
        else:
            _, warnings = await self._lifecycle.stop(reference, SCHEDULE)
            for warning in warnings:
                _log.warning("%s: %s", reference, warning)
        _log.info("%s: %s by its schedule", reference, action)
