"""Events of many requests share an entry; each request learns of its own, and nothing shown is lost."""

import asyncio

import pytest

from pullarm.domain.decision import Batch, ServingMinute
from pullarm.domain.errors import Exhausted
from pullarm.storage import events
from serving import event_log as module
from serving.event_log import EventLog
from serving.spool import Spool
from serving.waiter import Durability, Kept
from tests.ledger_events import Events
from tests.sink import (
    Sink,
    close,
    decisions,
    outcomes,
    store_each,
    until,
)

MINUTE = ServingMinute("serving-1", 1, 7, 2, 29_340_000, 5, 1, 0, 0, {3: 5})


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, the stream is not taken for slow, nor the making of events."""
    monkeypatch.setattr(module, "BUDGET_S", 10.0)
    monkeypatch.setattr(module, "WAIT_S", 10.0)
    monkeypatch.setattr(module, "_TURN_S", 10.0)


async def test_requests_in_flight_share_an_entry(sink: Sink, log: EventLog, make: Events) -> None:
    sink.open.clear()
    logged = decisions(make, 101)
    storing = store_each(log, logged[:1])
    await until(lambda: sink.tries == 1)
    storing += store_each(log, logged[1:])
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in storing)
    sink.open.set()
    assert await outcomes(storing) == [Kept.ACKNOWLEDGED] * 101
    assert [entry.events() for entry in sink.entries] == [1, 100]
    assert sink.stored.decisions == logged


async def test_events_of_a_request_share_an_entry_where_they_can(
    sink: Sink, log: EventLog, make: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_EVENTS", 4)
    logged = decisions(make, 12)
    requests = [logged[:2], logged[2:5], logged[5:10], logged[10:]]
    sink.open.clear()
    storing = [asyncio.create_task(log.store(request)) for request in requests]
    await asyncio.sleep(0)
    sink.open.set()
    assert await outcomes(storing) == [Kept.ACKNOWLEDGED] * 4
    assert [entry.events() for entry in sink.entries] == [2, 3, 4, 3]
    assert sink.stored.decisions == logged


async def test_events_of_every_kind_arrive_as_they_were(
    sink: Sink, log: EventLog, make: Events
) -> None:
    (decision,) = decisions(make, 1)
    reward = make.reward(make.token(7), reward_id="r")
    await outcomes([asyncio.create_task(log.store(logged)) for logged in ([decision], [reward])])
    (unseen,) = decisions(make, 1)
    sink.open.clear()
    storing = asyncio.create_task(log.store([unseen]))
    await until(lambda: sink.tries == 2)
    storing.cancel()
    await asyncio.sleep(0)
    log.tell([MINUTE])
    sink.open.set()
    await until(lambda: sink.stored.minutes)
    numbers = [(span.process, span.first, span.end) for span in sink.stored.spans]
    assert numbers == [("serving-1", 0, 2), ("serving-1", 2, 3), ("serving-1", 3, 5)]
    stored = sink.stored._replace(spans=[])
    assert stored == Batch([decision, unseen], [reward], [unseen.token], [MINUTE], [])


async def test_nothing_to_store_is_stored_at_once(sink: Sink, log: EventLog) -> None:
    async with asyncio.timeout(1):
        await log.store([])
    assert sink.tries == 0


async def test_cancelling_one_of_a_hundred_harms_nobody_and_voids_it(
    sink: Sink, log: EventLog, make: Events
) -> None:
    sink.open.clear()
    logged = decisions(make, 100)
    storing = store_each(log, logged)
    await until(lambda: sink.tries == 1)
    storing[42].cancel()
    await asyncio.sleep(0)
    sink.open.set()
    done = await outcomes(storing)
    assert isinstance(done.pop(42), asyncio.CancelledError)
    assert done == [Kept.ACKNOWLEDGED] * 99
    await until(lambda: sink.stored.voids)
    assert sink.stored.voids == [logged[42].token]
    uids = [decision.token.uid for decision in sink.stored.decisions]
    assert len(uids) == len(set(uids)) == 100
    await log.store(decisions(make, 1))  # the committer lives


async def test_request_that_is_cancelled_before_its_turn_is_never_stored(
    sink: Sink, log: EventLog, make: Events
) -> None:
    sink.open.clear()
    (ahead,) = store_each(log, decisions(make, 1))
    await until(lambda: sink.tries == 1)
    logged = decisions(make, 100)
    storing = store_each(log, logged)
    await asyncio.sleep(0)
    storing[42].cancel()
    await asyncio.sleep(0)
    sink.open.set()
    done = await outcomes([ahead, *storing])
    assert isinstance(done.pop(43), asyncio.CancelledError)
    assert done == [Kept.ACKNOWLEDGED] * 100
    await log.store(decisions(make, 1))
    stored = {decision.token.uid for decision in sink.stored.decisions}
    assert len(stored) == 101
    assert logged[42].token.uid not in stored
    assert sink.stored.voids == []


async def test_cancelled_reward_is_not_voided(sink: Sink, log: EventLog, make: Events) -> None:
    sink.open.clear()
    storing = asyncio.create_task(log.store([make.reward(make.token(7))]))
    await until(lambda: sink.tries == 1)
    storing.cancel()
    sink.open.set()
    await outcomes([storing])
    await log.store(decisions(make, 1))
    assert (len(sink.stored.rewards), sink.stored.voids) == (1, [])


async def test_entries_hold_at_most_512_events(sink: Sink, log: EventLog, make: Events) -> None:
    sink.open.clear()
    storing = store_each(log, decisions(make, 1_300))
    await asyncio.sleep(0)
    sink.open.set()
    await outcomes(storing)
    assert max(entry.events() for entry in sink.entries) == 512
    assert len(sink.entries) <= 4
    assert len(sink.stored.decisions) == 1_300


async def test_entries_hold_at_most_256_kilobytes(sink: Sink, log: EventLog, make: Events) -> None:
    large = {f"name-{number}": "x" * 128 for number in range(32)}
    storing = store_each(log, decisions(make, 200, **large))
    await outcomes(storing)
    framing = 16
    assert max(sink.sizes) <= 256 * 1024 + framing
    assert min(sink.sizes[:-1]) > 256 * 1024 * 0.9
    assert len(sink.stored.decisions) == 200


async def test_event_larger_than_an_entry_goes_alone(
    sink: Sink, log: EventLog, make: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_BYTES", 50)
    requests = [decisions(make, count) for count in (1, 2, 1)]
    await outcomes([asyncio.create_task(log.store(request)) for request in requests])
    assert [entry.events() for entry in sink.entries] == [1, 1, 1, 1]


async def test_too_many_waiting_requests_are_refused_at_once(
    sink: Sink, log: EventLog, make: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 10)
    sink.open.clear()
    first = store_each(log, decisions(make, 1))
    await until(lambda: sink.tries == 1)  # it is in hand and waits no more
    assert log.full() is None
    storing = store_each(log, decisions(make, 10))
    await asyncio.sleep(0)
    assert log.full() is not None
    with pytest.raises(Exhausted, match="10 requests wait to be stored"):
        await log.store(decisions(make, 1))
    sink.open.set()
    assert await outcomes(first + storing) == [Kept.ACKNOWLEDGED] * 11
    assert (len(sink.stored.decisions), sink.stored.voids) == (11, [])
    assert log.full() is None
    await log.store(decisions(make, 10))


async def test_closing_stores_what_waits(
    sink: Sink, spool: Spool, make: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_EVENTS", 3)
    log = EventLog(sink, spool, "serving-1")
    storing = store_each(log, decisions(make, 10))
    await asyncio.sleep(0)
    log.tell([MINUTE])
    await close(log, log.run())
    assert await outcomes(storing) == [Kept.ACKNOWLEDGED] * 10
    assert (len(sink.stored.decisions), len(sink.stored.minutes)) == (10, 1)


async def test_closing_with_nothing_waiting_ends(sink: Sink, spool: Spool) -> None:
    log = EventLog(sink, spool, "serving-1")
    running = asyncio.create_task(log.run())
    await asyncio.sleep(0.01)
    await close(log, running)
    assert sink.tries == 0


async def test_buffered_answers_come_before_the_stream_acknowledges(
    sink: Sink, spool: Spool, make: Events
) -> None:
    log = EventLog(sink, spool, "serving-1", durability=Durability.BUFFERED)
    sink.open.clear()
    logged = decisions(make, 30)
    assert {await log.store([each]) for each in logged} == {Kept.BUFFERED}
    assert (log.waiting, sink.tries) == (30, 0)
    sink.open.set()
    await close(log, log.run())
    assert (sink.stored.decisions, log.waiting) == (logged, 0)


async def test_what_no_code_expects_ends_the_log_and_tells(
    sink: Sink, spool: Spool, make: Events
) -> None:
    log = EventLog(sink, spool, "serving-1")
    sink.breaks = True
    storing = store_each(log, decisions(make, 1))
    with pytest.raises(ExceptionGroup) as told:
        async with asyncio.timeout(30):
            await log.run()
    assert told.group_contains(ZeroDivisionError)
    storing[0].cancel()
    await outcomes(storing)
