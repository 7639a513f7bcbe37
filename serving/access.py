"""Who may call: the tokens of role caller, read from the board and looked up in memory."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from math import inf
from typing import NamedTuple

from pullarm.clock import Clock
from pullarm.domain.access import digest
from pullarm.domain.errors import Forbidden, Unauthenticated, Unavailable
from pullarm.domain.ports import CallerBoard

_log = logging.getLogger(__name__)

READ_EVERY_S = 0.25
"""How often the board is asked whether tokens were made or revoked."""
_KEY = "authorization"
_SCHEME = "bearer "


class Visitor(NamedTuple):
    """Whoever makes a call."""

    name: str = ""
    """Of the token; empty where none was shown."""
    experiments: frozenset[int] | None = None
    """The numbers of those it is for; None: all."""
    until_ms: float = inf

    def check(self, number: int, field: str) -> None:
        """Raises Forbidden, naming the field, where the token is not for this experiment."""
        if self.experiments is not None and number not in self.experiments:
            raise Forbidden(f"{field}: the token {self.name!r} is not for this experiment")


ANYBODY = Visitor()
"""Who shows no token, where none is needed."""


class Callers:
    """The tokens that may call; those of the last good look while the board is away or damaged."""

    def __init__(self, board: CallerBoard, clock: Clock, *, required: bool = False) -> None:
        self.required = required
        """Whether a call without a token is refused; one with a wrong token always is."""
        self.loaded = asyncio.Event()
        """Set once calls can be judged."""
        self._board = board
        self._clock = clock
        self._stamp = b""
        self._visitors: Mapping[bytes, Visitor] | None = None
        self._problem = ""
        if not required:
            self.loaded.set()

    def of(self, metadata: Iterable[tuple[str, str | bytes]] | None) -> Visitor:
        """Who shows this metadata; raises Unauthenticated, or Unavailable where that cannot be known yet."""
        for key, value in metadata or ():
            if key == _KEY:
                return self._known(str(value))
        if self.required:
            raise Unauthenticated(
                "a token is needed: send the metadata `authorization: Bearer TOKEN`"
            )
        return ANYBODY

    async def run(self) -> None:
        """Keep the tokens new, for ever."""
        task = asyncio.current_task()
        # Looked at because the driver's `wait_for` may swallow a cancellation (CPython 3.11, issue 86296).
        while task is not None and not task.cancelling():
            await self.refresh()
            await asyncio.sleep(READ_EVERY_S)

    async def refresh(self) -> None:
        """Take over what is posted, where it can be read; what is wrong is told once."""
        problem = ""
        try:
            posted = await self._board.read(self._stamp)
        except (Unavailable, ValueError) as error:
            problem = str(error)
        else:
            if posted is not None:
                self._stamp = posted.stamp
                self._visitors = {
                    caller.digest: Visitor(
                        caller.name,
                        None if caller.experiments is None else frozenset(caller.experiments),
                        inf if caller.expires_ms is None else caller.expires_ms,
                    )
                    for caller in posted.callers
                }
                self.loaded.set()
        if problem and problem != self._problem:
            _log.warning("tokens are not refreshed: %s", problem)
        self._problem = problem

    def _known(self, header: str) -> Visitor:
        if self._visitors is None:
            raise Unavailable("this server has not loaded the tokens; try again")
        visitor = None
        if header[: len(_SCHEME)].lower() == _SCHEME:
            visitor = self._visitors.get(digest(header[len(_SCHEME) :]))
        if visitor is None or visitor.until_ms <= self._clock():
            raise Unauthenticated(
                "the token is unknown, revoked, expired or not of role caller; "
                "send the metadata `authorization: Bearer TOKEN`"
            )
        return visitor
