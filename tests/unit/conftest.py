"""An event log over a stream that does what a test wants."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from serving.event_log import EventLog
from serving.spool import Spool
from tests.ledger_events import Events
from tests.sink import Sink


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool", "serving-1")
    yield spool
    spool.close()


@pytest.fixture
async def log(sink: Sink, spool: Spool) -> AsyncIterator[EventLog]:
    log = EventLog(sink, spool, "serving-1")
    running = asyncio.create_task(log.run())
    yield log
    sink.refuses, sink.takes = False, 10**9
    sink.open.set()
    log.close()
    async with asyncio.timeout(30):
        await running


@pytest.fixture
def make() -> Events:
    return Events()
