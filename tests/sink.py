"""An event stream that does what a test wants, and the requests that are stored in it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pullarm.domain.decision import Batch, Decision, Token
from pullarm.domain.errors import Unavailable
from pullarm.storage import events
from serving import event_log as module
from serving.event_log import EventLog
from serving.waiter import Kept
from tests.ledger_events import Events


class Sink:
    """A stream whose entries can be held back, refused, or stored without its saying so."""

    def __init__(self) -> None:
        self.entries: list[Batch] = []
        self.sizes: list[int] = []
        self.tries = 0
        self.refuses = self.stores_in_silence = self.breaks = False
        self.takes = 10**9
        """How many entries it takes before it refuses."""
        self.open = asyncio.Event()
        self.open.set()

    async def append(self, entry: bytes) -> None:
        self.tries += 1
        await self.open.wait()
        await asyncio.sleep(0)
        if self.breaks:
            raise ZeroDivisionError
        refused = self.refuses or len(self.entries) >= self.takes
        if not refused or self.stores_in_silence:
            self.entries.append(events.unpack(entry))
            self.sizes.append(len(entry))
        if refused:
            raise Unavailable("Redis is away: refused")

    @property
    def stored(self) -> Batch:
        return events.merge(self.entries)


def decisions(make: Events, count: int, **attributes: str) -> list[Decision]:
    return [
        make.decision(make.token(7))._replace(attributes=attributes, request_id=str(number))
        for number in range(count)
    ]


async def outcomes(storing: list["asyncio.Task[Kept]"]) -> list[BaseException | Kept]:
    async with asyncio.timeout(60):
        return await asyncio.gather(*storing, return_exceptions=True)


def store_each(log: EventLog, logged: list[Decision]) -> list["asyncio.Task[Kept]"]:
    return [asyncio.create_task(log.store([event])) for event in logged]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting is over within hundredths of a second, but a stream on a busy machine is not taken for slow."""
    monkeypatch.setattr(module, "BUDGET_S", 10.0)
    monkeypatch.setattr(module, "WAIT_S", 10.0)
    monkeypatch.setattr(module, "_RETRY_S", 0.002)
    monkeypatch.setattr(module, "_TRY_FULL_AGAIN_S", 0.01)


def by_uid(tokens: list[Token]) -> list[bytes]:
    return sorted(token.uid for token in tokens)


async def close(log: EventLog, running: Awaitable[None]) -> None:
    log.close()
    async with asyncio.timeout(30):
        await running
