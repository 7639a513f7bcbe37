"""Stages after the fold: they keep what is worked out of the ledger some way behind it, and are never in its way."""

import asyncio
import logging
from typing import Protocol

from pullarm.clock import Clock
from pullarm.domain.errors import Refused, Unavailable
from pullarm.storage.postgres.arm_rate_stage import PostgresArmRateStage

_log = logging.getLogger(__name__)

EVERY_S = 1.5
"""How long after a round the next begins, where nothing is left to do."""
REST = 3
"""How many times as long as it worked a stage rests that has nothing left to do."""
ARM_RATES_EVERY_S = 10.0
"""Of the rates of arms: a decision is mature after an hour at the earliest."""


class Stage(Protocol):
    """Goes through the ledger of each experiment, with a cursor of its own."""

    @property
    def most(self) -> int:
        """How much a step takes at most."""

    async def due(self) -> list[int]:
        """The experiments that are behind."""

    async def step(self, experiment: int) -> int:
        """Take the next of it; how much that was. Raises Unavailable, or Refused where it cannot be worked out."""


class ArmRates:
    """Rates of arms: of what is mature by the clock."""

    def __init__(self, rates: PostgresArmRateStage, clock: Clock) -> None:
        self._rates, self._clock = rates, clock
        self.most = rates.most

    async def due(self) -> list[int]:
        """See Stage."""
        return await self._rates.due()

    async def step(self, experiment: int) -> int:
        """See Stage."""
        return await self._rates.step(experiment, self._clock())


class Statistics:
    """Steps every experiment that is behind in a stage; several processes share them."""

    def __init__(self, stage: Stage, *, every_s: float = EVERY_S) -> None:
        self._stage, self._every_s = stage, every_s
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
            # Even a backlog leaves room for the fold: it rests as long as it works, and longer where it keeps up.
            took_s = loop.time() - started
            await asyncio.sleep(took_s if left else max(self._every_s - took_s, REST * took_s))

    async def round(self) -> bool:
        """One step of every experiment that is behind; whether any has more to do."""
        steps = [await self._step_or_tell(number) for number in await self._stage.due()]
        return any(taken == self._stage.most for taken in steps)

    async def _step_or_tell(self, number: int) -> int:
        """One step; what is wrong with it is told once and holds up no other experiment."""
        try:
            taken = await self._stage.step(number)
        except Refused as error:
            if self._problems.get(number) != str(error):
                _log.error("statistics of experiment %d stand still: %s", number, error)
            self._problems[number] = str(error)
            return 0
        self._problems.pop(number, None)
        return taken
