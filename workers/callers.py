"""Keeps serving's list of tokens as the ledger has it, so that one that is revoked ends within a second."""

import asyncio
import logging

from pullarm.clock import Clock
from pullarm.domain.errors import Unavailable
from pullarm.domain.ports import CallerBoard, TokenStore

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.25


class CallerPublisher:
    """Compares what is posted with what should be, for ever; any number of them come to the same."""

    def __init__(self, tokens: TokenStore, board: CallerBoard, clock: Clock) -> None:
        self._tokens = tokens
        self._board = board
        self._clock = clock

    async def publish(self) -> None:
        """Post who may call, where something else is posted."""
        callers = await self._tokens.callers(self._clock())
        if await self._board.post(callers):
            _log.info("%d tokens may call serving", len(callers))

    async def run(self) -> None:
        """Publish for ever; a store that is away is waited for."""
        away = False
        task = asyncio.current_task()
        # Looked at because the driver's `wait_for` may swallow a cancellation (CPython 3.11, issue 86296).
        while task is not None and not task.cancelling():
            try:
                await self.publish()
                away = False
            except Unavailable as error:
                if not away:
                    _log.warning("tokens are not published: %s", error)
                away = True
            await asyncio.sleep(LOOK_EVERY_S)
