"""The statistics stage: keeps roll-ups and user statistics a few seconds behind the fold, and never in its way."""

import asyncio
import logging

from pullarm.domain.errors import Refused, Unavailable
from pullarm.storage.postgres import PostgresStatistics

_log = logging.getLogger(__name__)

EVERY_S = 1.5
"""How long after a round the next begins, where nothing is left to do."""


class Statistics:
    """Steps every experiment that is behind; several processes share them."""

    def __init__(self, statistics: PostgresStatistics) -> None:
        self._statistics = statistics
        self._problems: dict[int, str] = {}

    async def run(self) -> None:
        """Work for ever; a store that is away is waited for."""
        loop = asyncio.get_running_loop()
        away = False
        task = asyncio.current_task()
        # Looked at because the driver's `wait_for` may swallow a cancellation (CPython 3.11, issue 86296).
        while task is not None and not task.cancelling():
            started, left = loop.time(), False
            try:
                left = await self.round()
                away = False
            except Unavailable as error:
                if not away:
                    _log.warning("statistics wait: %s", error)
                away = True
            # It rests as long as it works, so that a backlog leaves room for the fold.
            took_s = loop.time() - started
            await asyncio.sleep(took_s if left else max(EVERY_S - took_s, took_s))

    async def round(self) -> bool:
        """One step of every experiment that is behind; whether any has more to do."""
        steps = [await self._step_or_tell(number) for number in await self._statistics.due()]
        return any(folds == self._statistics.folds for folds in steps)

    async def _step_or_tell(self, number: int) -> int:
        """One step; what is wrong with it is told once and holds up no other experiment."""
        try:
            folds = await self._statistics.step(number)
        except Refused as error:
            if self._problems.get(number) != str(error):
                _log.error("statistics of experiment %d stand still: %s", number, error)
            self._problems[number] = str(error)
            return 0
        self._problems.pop(number, None)
        return folds
