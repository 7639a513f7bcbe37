"""Tells the log once a minute what was folded and published: each fold would be ten lines a second."""

import asyncio
import logging
from dataclasses import replace

from workers.counts import Folded, Published

_log = logging.getLogger(__name__)

EVERY_S = 60.0


class Diary:
    """Nothing is said of a minute in which nothing was done."""

    def __init__(self, folded: Folded, published: Published) -> None:
        self._folded = folded
        self._published = published
        self._told = replace(folded)

    async def run(self) -> None:
        """Tell for ever."""
        while True:
            await asyncio.sleep(EVERY_S)
            self.tell()

    def tell(self) -> None:
        """What was done since the last time. Runbooks search for these words."""
        now, before = replace(self._folded), self._told
        if now.folds > before.folds:
            _log.info(
                "Reward credits computed: %d rewards, %d decisions, in %d folds",
                now.rewards - before.rewards,
                now.decisions - before.decisions,
                now.folds - before.folds,
            )
        self._told = now
        for experiment_id, update in self._published.take().items():
            _log.info(
                "Policy posteriors of %s updated: version %d, fold %d, publications %d",
                experiment_id,
                *update,
            )
