"""Requests that find room in part, too late or not at all: what nobody was shown is voided, and nothing grows on."""

import asyncio
import time
from pathlib import Path

import pytest

from pullarm.domain.decision import Decision
from pullarm.domain.errors import Exhausted, NotFound
from pullarm.storage import events
from serving import event_log as module
from serving.backlog import Backlog, Kind
from serving.event_log import EventLog
from serving.spool import Spool
from serving.waiter import Kept, Made, Waiter
from tests.ledger_events import Events
from tests.sink import Sink, by_uid, close, decisions, hurry, outcomes, until


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


def uids(logged: list[Decision]) -> list[bytes]:
    return by_uid([decision.token for decision in logged])


async def test_request_of_which_only_a_part_found_room_is_voided(
    sink: Sink, make: Events, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_EVENTS", 4)
    logged = decisions(make, 8)
    room = sum(len(events.pack(each)) for each in logged[:4]) + 120
    spool = Spool(tmp_path / "part", "serving-1", max_bytes=room)
    log = EventLog(sink, spool, "serving-1")
    sink.refuses = True
    log.trouble = "Redis is away"  # so that it is not even asked
    running = asyncio.create_task(log.run())
    (told,) = await outcomes([asyncio.create_task(log.store(logged))])
    assert isinstance(told, Exhausted)
    sink.refuses = False
    await until(lambda: log.trouble is None and spool.waiting_entries == 0 and log.waiting == 0)
    assert sink.stored.decisions == logged[:4]
    await until(lambda: set(by_uid(sink.stored.voids)) >= set(uids(logged[:4])))
    await close(log, running)
    spool.close()


class SlowlyAcknowledged(Sink):
    """Stores at once, and says so of decisions when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.says_so = asyncio.Event()

    async def append(self, entry: bytes) -> None:
        await self.open.wait()
        self.entries.append(events.unpack(entry))
        if self.entries[-1].decisions:
            await self.says_so.wait()


async def test_entry_that_is_sent_when_the_spool_was_full_is_voided(
    make: Events, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUDGET_S", 0.01)
    sink, logged = SlowlyAcknowledged(), decisions(make, 1)
    sink.open.clear()
    spool = Spool(tmp_path / "none", "serving-1", max_bytes=10)
    log = EventLog(sink, spool, "serving-1")
    write = spool.write

    def write_while_the_stream_comes_back(entry: bytes) -> None:
        loop.call_soon_threadsafe(sink.open.set)
        while log.trouble is not None:
            time.sleep(0.001)
        write(entry)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(spool, "write", write_while_the_stream_comes_back)
    log.trouble = "Redis is away"
    running = asyncio.create_task(log.run())
    (told,) = await outcomes([asyncio.create_task(log.store(logged))])
    assert isinstance(told, Exhausted)
    assert "None" not in str(told)
    sink.says_so.set()
    await until(lambda: sink.stored.voids)
    assert sink.stored.decisions == logged
    assert sink.stored.voids == [logged[0].token]
    await close(log, running)
    spool.close()


class Refused(Waiter[None]):
    """A request that makes nothing."""

    def make(self) -> list[Decision]:
        raise NotFound("experiment_id: there is no experiment")

    def finish(self, kept: Kept) -> None:
        raise AssertionError(f"nothing was kept, and yet it is {kept}")


async def test_others_have_their_turn_among_requests_that_make_nothing(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TURN_S", 0.0)  # a turn is one request
    asked = [asyncio.create_task(log.join(Refused(10))) for _ in range(50)]
    turns = 0
    while not all(task.done() for task in asked):
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 50
    assert all(isinstance(task.exception(), NotFound) for task in asked)
    assert log.waiting_bytes == 0


async def test_no_more_is_made_than_the_next_entry_holds(
    sink: Sink, log: EventLog, make: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_EVENTS", 6)
    monkeypatch.setattr(module, "_TURN_S", 10.0)
    monkeypatch.setattr(module, "BUDGET_S", 10.0)
    made: list[int] = []

    class Request(Made):
        def make(self) -> list[Decision]:
            made.append(len(sink.entries))
            return decisions(make, 3)

    storing = [asyncio.create_task(log.join(Request((), 1_000))) for _ in range(8)]
    await asyncio.sleep(0)
    assert log.waiting_bytes == 8_000
    await outcomes(storing)
    assert [entry.events() for entry in sink.entries] == [6, 6, 6, 6]
    assert made == [0, 0, 1, 1, 2, 2, 3, 3]
    assert log.waiting_bytes == 0


def test_backlog_counts_what_it_holds(make: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_EVENTS", 2)
    packed = [events.pack(decision) for decision in decisions(make, 5)]
    backlog, other = Backlog(), Backlog()
    backlog.put(Kind.DECISION, packed, None, 5)
    assert (len(backlog), backlog.events, backlog.bytes) == (3, 5, sum(map(len, packed)))
    other.put(Kind.REWARD, packed[:1], None, 7)
    backlog.move_to(other)
    assert (len(backlog), backlog.events, backlog.bytes) == (0, 0, 0)
    taken = []
    while other:
        taken.append([(item.kind, item.packed) for item in other.take()])
    assert taken == [
        [(Kind.DECISION, packed[:2])],
        [(Kind.DECISION, packed[2:4])],
        [(Kind.DECISION, packed[4:]), (Kind.REWARD, packed[:1])],
    ]
    assert (other.events, other.bytes) == (0, 0)
