"""While the stream is away its entries are spooled, and what nobody was shown does not count."""

import asyncio
from pathlib import Path
from random import Random

import pytest

from pullarm.domain.decision import ServingMinute
from pullarm.domain.errors import Exhausted, Unavailable
from pullarm.storage import events
from serving import event_log as module
from serving.event_log import EventLog
from serving.spool import Spool
from serving.waiter import Durability, Kept, Made
from tests.ledger_events import Events
from tests.sink import (
    Sink,
    by_uid,
    close,
    decisions,
    hurry,
    outcomes,
    store_each,
    until,
)

MINUTE = ServingMinute("serving-1", 1, 7, 2, 29_340_000, 5, 1, 0, 0, {3: 5})


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


@pytest.fixture
def small(tmp_path: Path) -> Spool:
    """A spool with room for a handful of decisions."""
    return Spool(tmp_path / "small", "serving-1", max_bytes=2_000)


async def test_answers_go_on_from_the_spool_and_all_is_in_the_stream_afterwards(
    sink: Sink, log: EventLog, make: Events
) -> None:
    sink.refuses = True
    logged = decisions(make, 200)
    reward = make.reward(make.token(7))
    for at in range(0, 200, 20):
        assert await outcomes(store_each(log, logged[at : at + 20])) == [Kept.SPOOLED] * 20
    assert await log.store([reward]) is Kept.SPOOLED
    log.tell([MINUTE])
    await until(lambda: log.spool.waiting_entries >= 12 and log.waiting == 0)
    assert (sink.entries, log.waiting, log.trouble) == ([], 0, "Redis is away: refused")
    sink.refuses = False
    await until(lambda: log.trouble is None and log.spool.waiting_entries == 0)
    assert sink.stored.decisions == logged  # in order
    assert (sink.stored.rewards, sink.stored.minutes) == ([reward], [MINUTE])
    assert sink.stored.voids == []
    assert await log.store(decisions(make, 1)) is Kept.ACKNOWLEDGED


async def test_entry_the_stream_took_without_saying_so_is_there_twice(
    sink: Sink, log: EventLog, make: Events
) -> None:
    sink.refuses = sink.stores_in_silence = True
    logged = decisions(make, 3)
    assert await outcomes(store_each(log, logged)) == [Kept.SPOOLED] * 3
    sink.refuses = sink.stores_in_silence = False
    await until(lambda: len(sink.stored.decisions) == 6)
    assert sink.stored.decisions == logged * 2


async def test_slow_acknowledgement_is_not_waited_for(
    sink: Sink, log: EventLog, make: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUDGET_S", 0.01)
    sink.open.clear()
    first, second = decisions(make, 2)
    assert await log.store([first]) is Kept.SPOOLED
    assert await log.store([second]) is Kept.SPOOLED
    assert (log.slow, sink.tries) == (1, 1)  # the second does not even ask
    assert "did not answer within" in str(log.trouble)
    sink.open.set()
    await until(lambda: log.trouble is None and log.spool.waiting_entries == 0)
    stored = [decision.token.uid for decision in sink.stored.decisions]
    assert sorted(stored) == sorted([first.token.uid] * 2 + [second.token.uid])


async def test_full_spool_is_told_and_nobody_hangs(sink: Sink, small: Spool, make: Events) -> None:
    log = EventLog(sink, small, "serving-1")
    running = asyncio.create_task(log.run())
    sink.refuses = True
    done: list[object] = []
    logged = decisions(make, 40)
    for each in logged:
        done += await outcomes(store_each(log, [each]))
    kept = [each for each, end in zip(logged, done, strict=True) if end is Kept.SPOOLED]
    errors = [end for end in done if isinstance(end, Exhausted)]
    assert 0 < len(kept) < 40
    assert len(kept) + len(errors) == 40
    assert log.refused == len(errors)
    assert "the spool holds" in str(errors[0])
    assert "Redis is away" in str(errors[0])
    sink.refuses = False
    await until(lambda: log.trouble is None and log.spool.waiting_entries == 0)
    await until(lambda: log.full() is None)
    assert await log.store(decisions(make, 1)) is Kept.ACKNOWLEDGED
    await close(log, running)
    shown = {each.token.uid for each in kept}
    stored = {decision.token.uid for decision in sink.stored.decisions[:-1]}
    assert shown <= stored
    assert stored - shown <= set(by_uid(sink.stored.voids))
    small.close()


async def test_what_nobody_waits_for_is_kept_in_memory_while_the_spool_is_full(
    sink: Sink, small: Spool, make: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = EventLog(sink, small, "serving-1", durability=Durability.BUFFERED)
    running = asyncio.create_task(log.run())
    sink.refuses = True
    logged = decisions(make, 100)
    for each in logged:
        if log.full() is None:
            await log.store([each])
        else:  # what was taken before the log knew
            log._put_all(Made([each], 0), waits=False)
        await asyncio.sleep(0)
    await until(lambda: log._owed and not log._backlog)
    assert log.lost == 0
    sink.refuses = False
    await until(lambda: len({d.token.uid for d in sink.stored.decisions}) == 100)
    await close(log, running)
    small.close()


async def test_memory_is_bounded_too(
    sink: Sink, small: Spool, make: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 5)
    log = EventLog(sink, small, "serving-1", durability=Durability.BUFFERED)
    sink.refuses = True
    for each in decisions(make, 50):
        log._put_all(Made([each], 0), waits=False)
    await close(log, log.run())
    assert log.waiting <= 5
    assert log.lost == 50  # counted, those that memory still held included
    small.close()


async def test_stream_that_hangs_and_a_disk_that_hangs_are_told(
    sink: Sink, log: EventLog, make: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.02)
    monkeypatch.setattr(module, "BUDGET_S", 5.0)  # stands for a write that does not return
    sink.open.clear()
    logged = decisions(make, 20)
    for error in await outcomes(store_each(log, logged)):
        assert isinstance(error, Unavailable)
        assert "does not answer in time" in str(error)
    sink.open.set()
    await until(lambda: sink.stored.voids)
    stored = {decision.token.uid for decision in sink.stored.decisions}
    await until(lambda: stored <= {token.uid for token in sink.stored.voids})


async def test_closing_while_the_stream_is_away_leaves_all_to_the_next_process(
    sink: Sink, spool: Spool, make: Events, tmp_path: Path
) -> None:
    sink.refuses = True
    log = EventLog(sink, spool, "serving-1")
    running = asyncio.create_task(log.run())
    logged = decisions(make, 3)
    storing = store_each(log, logged)
    await asyncio.sleep(0)
    await close(log, running)
    assert await outcomes(storing) == [Kept.SPOOLED] * 3
    spool.close()
    sink.refuses = False
    heir = Spool(tmp_path / "spool", "serving-2")
    log = EventLog(sink, heir, "serving-1")
    running = asyncio.create_task(log.run())
    await until(lambda: sink.stored.decisions and heir.waiting_entries == 0)
    await close(log, running)
    assert sink.stored.decisions == logged
    heir.close()


async def test_what_found_no_room_is_not_missed(sink: Sink, small: Spool, make: Events) -> None:
    """Nor is it where the stream took it without saying so."""
    log = EventLog(sink, small, "serving-1")
    running = asyncio.create_task(log.run())
    sink.refuses = sink.stores_in_silence = True
    for each in decisions(make, 40):
        await outcomes(store_each(log, [each]))
    assert log.refused > 0
    sink.refuses = False
    await until(lambda: log.trouble is None and log.spool.waiting_entries == 0)
    await log.store(decisions(make, 1))
    await close(log, running)
    assert missing(sink) == set()
    small.close()


async def test_entry_that_is_lost_on_the_way_is_missed(
    sink: Sink, log: EventLog, make: Events
) -> None:
    for count in (3, 5, 2):
        await log.store(decisions(make, count))
    del sink.entries[1]
    assert missing(sink) == set(range(3, 8))


def missing(sink: Sink) -> set[int]:
    """Numbers below the highest that came."""
    spans = sink.stored.spans
    come = {number for span in spans for number in range(span.first, span.end)}
    return set(range(max(span.end for span in spans))) - come


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_the_shown_are_stored_and_the_others_do_not_count(
    sink: Sink, make: Events, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Requests of several decisions, cancelled at random, over a stream that fails at random and a spool that fills."""
    spool = Spool(tmp_path, "serving-1", max_bytes=40_000, segment_bytes=4_000)
    log = EventLog(sink, spool, "serving-1")
    running = asyncio.create_task(log.run())
    monkeypatch.setattr(events, "MAX_EVENTS", 5)
    random = Random(seed)
    logged = [decisions(make, random.randint(1, 9)) for _ in range(200)]
    storing = []
    for number, request in enumerate(logged):
        storing.append(asyncio.create_task(log.store(request)))
        away = number % 100 > 40  # long enough to fill the spool
        sink.refuses = away or random.random() < 0.3
        sink.stores_in_silence = random.random() < 0.5
        if random.random() < 0.2:
            storing[random.randint(0, number)].cancel()
        if random.random() < 0.7:
            await asyncio.sleep(random.choice([0, 0, 0.001]))
    sink.refuses = False
    done = await outcomes(storing)
    await until(lambda: log.trouble is None and spool.waiting_entries == 0 and log.waiting == 0)
    await close(log, running)
    assert missing(sink) == set()
    stored = {decision.token.uid for decision in sink.stored.decisions}
    voided = {token.uid for token in sink.stored.voids}
    for outcome, request in zip(done, logged, strict=True):
        uids = {decision.token.uid for decision in request}
        if isinstance(outcome, Kept):
            assert uids <= stored
            assert not uids & voided
        else:
            assert isinstance(outcome, Exhausted | Unavailable | asyncio.CancelledError)
            assert uids & stored <= voided
    assert {Kept.ACKNOWLEDGED, Kept.SPOOLED} < {end for end in done if isinstance(end, Kept)} | {
        type(end) for end in done
    }
    spool.close()
