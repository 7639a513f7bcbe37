"""A serving process says up to when all its events are stored, and whoever takes its spool over that it has ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pullarm.domain.decision import Span
from pullarm.domain.intake import SETTLE_MS, Watermark, watermark
from pullarm.storage.memory import MemoryBoard, MemoryCallers, MemoryExperiments, MemoryLedger
from serving import process as module
from serving.event_log import EventLog
from serving.process import Process
from serving.settings import Settings
from serving.spool import Spool
from serving.waiter import Durability
from tests.builders import KEYS, FixedClock
from tests.ledger_events import Events
from tests.sink import Sink, close, decisions, hurry, outcomes, store_each, until


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)
    monkeypatch.setattr(module, "SEND_EVERY_S", 0.01)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


def said(sink: Sink) -> list[tuple[int, int, int]]:
    return [(span.first, span.end, span.until_ms) for span in sink.stored.spans]


async def test_events_that_wait_hold_back_what_is_said(
    sink: Sink, spool: Spool, make: Events, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.event_log.BUDGET_S", 5.0)
    log = EventLog(sink, spool, "serving-1", durability=Durability.BUFFERED, clock=clock)
    running = asyncio.create_task(log.run())
    began = clock()
    sink.open.clear()
    (first,) = decisions(make, 1)
    await outcomes(store_each(log, [first]))
    await until(lambda: sink.tries == 1)
    clock.now_ms = began + 50
    for event in decisions(make, 600):  # more than an entry holds
        await outcomes(store_each(log, [event]))
    clock.now_ms = began + 90
    sink.open.set()
    await close(log, running)
    assert said(sink) == [
        (0, 1, began),
        (1, 513, began + 50),
        (513, 601, began + 90),
    ]


async def test_request_that_waits_to_be_made_holds_it_back_too(
    sink: Sink, spool: Spool, make: Events, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.event_log._TURN_S", 0.0)  # one request an entry
    log = EventLog(sink, spool, "serving-1", clock=clock)
    began = clock()
    early = store_each(log, decisions(make, 2))
    await asyncio.sleep(0)
    clock.now_ms = began + 30
    running = asyncio.create_task(log.run())
    await outcomes(early)
    await close(log, running)
    assert said(sink) == [(0, 1, began), (1, 2, began + 30)]


async def test_process_without_events_says_so_too(
    sink: Sink, spool: Spool, clock: FixedClock
) -> None:
    log = EventLog(sink, spool, "serving-1", clock=clock)
    running = asyncio.create_task(log.run())
    began = clock()
    log.tell([])
    await until(lambda: len(sink.entries) == 1)
    clock.now_ms += 10
    log.tell([])
    await until(lambda: len(sink.entries) == 2)
    await close(log, running)
    assert sink.stored.spans == [
        Span("serving-1", 0, 0, began, spooled=False),
        Span("serving-1", 0, 0, began + 10, spooled=False),
    ]


class Platform:
    """Serving processes that share a spool, and the ledger of what they stored."""

    def __init__(self, folder: Path, clock: FixedClock) -> None:
        self.clock = clock
        self.spool = folder
        self._ledger = MemoryLedger(MemoryExperiments())
        self._folded: dict[int, int] = {}

    @asynccontextmanager
    async def running(self, name: str, sink: Sink) -> AsyncIterator[Process]:
        """A process, killed in the end: what it has locked is free, and it says no more."""
        settings = Settings(redis_url="", keys=KEYS, process=name, spool=self.spool)
        process = Process(settings, MemoryBoard(), MemoryCallers(), sink, self.clock)
        tasks = [asyncio.create_task(work()) for work in (process.event_log.run, process.report)]
        try:
            yield process
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            process.spool.close()
            process.lives.close()

    async def stop(self, process: Process) -> None:
        """As a process ends that is asked to."""
        process.event_log.tell([])
        process.event_log.close()
        await until(lambda: not process.event_log.waiting)
        await process.leave()

    async def mark(self, *sinks: Sink, later_ms: int = 0) -> Watermark:
        """Fold what has come since the last time; where the ledger stands so much later."""
        for sink in sinks:
            done = self._folded.get(id(sink), 0)
            for entry in sink.entries[done:]:
                await self._ledger.fold(entry, self.clock())
            self._folded[id(sink)] = len(sink.entries)
        return watermark(await self._ledger.intake(), self.clock() + later_ms)


@pytest.fixture
def platform(tmp_path: Path, clock: FixedClock) -> Platform:
    return Platform(tmp_path / "spool", clock)


async def test_killed_process_with_a_spool_holds_back_until_that_is_adopted(
    platform: Platform, make: Events
) -> None:
    away, there = Sink(), Sink()
    began = platform.clock()
    async with platform.running("a", away) as killed:
        await until(lambda: away.stored.spans)
        away.refuses = True
        platform.clock.now_ms += 5_000
        await outcomes(store_each(killed.event_log, decisions(make, 3)))
        assert killed.spool.waiting_entries
    platform.clock.now_ms += 60_000
    mark = await platform.mark(away, later_ms=3_600_000)
    assert (mark.at_ms, mark.process[:2]) == (began - SETTLE_MS, "a-")
    async with platform.running("b", there) as heir:
        await until(lambda: any(span.ended for span in there.stored.spans))
        assert len(there.stored.decisions) == 3
        mark = await platform.mark(there, later_ms=SETTLE_MS)
        assert (mark.at_ms, mark.process[:2]) == (platform.clock() - SETTLE_MS, "b-")
        await platform.stop(heir)
    assert [span.process[:2] for span in there.stored.spans if span.ended] == ["a-", "b-"]
    platform.clock.now_ms += 60_000
    assert (await platform.mark(there, later_ms=SETTLE_MS)).process == ""
