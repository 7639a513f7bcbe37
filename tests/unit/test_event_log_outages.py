"""While the stream is away requests are told so soon, and what they were not told to show does not count."""

import asyncio
from random import Random

import pytest

from pullarm.domain.decision import ServingMinute
from pullarm.domain.errors import Unavailable
from pullarm.storage import events
from serving import event_log as module
from serving.event_log import EventLog
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


async def test_stream_that_comes_back_in_time_is_not_noticed(
    sink: Sink, log: EventLog, make: Events
) -> None:
    sink.refuses = True
    storing = store_each(log, decisions(make, 20))
    await until(lambda: sink.tries >= 3)
    assert not any(task.done() for task in storing)
    sink.refuses = False
    assert await outcomes(storing) == [None] * 20
    assert (len(sink.stored.decisions), sink.stored.voids) == (20, [])


@pytest.mark.parametrize("stores_in_silence", [False, True])
async def test_stream_that_stays_away_is_told_to_all_and_their_decisions_are_voided(
    sink: Sink,
    log: EventLog,
    make: Events,
    monkeypatch: pytest.MonkeyPatch,
    *,
    stores_in_silence: bool,
) -> None:
    hurry(monkeypatch)
    sink.refuses, sink.stores_in_silence = True, stores_in_silence
    logged = decisions(make, 30)
    storing = store_each(log, logged)
    storing.append(asyncio.create_task(log.store([make.reward(make.token(7))])))
    log.tell([MINUTE])
    done = await outcomes(storing)
    assert [str(error) for error in done] == ["Redis is away: refused"] * 31
    assert {type(error) for error in done} == {Unavailable}
    assert len({id(error) for error in done}) == 31  # tracebacks of a shared one would mix
    sink.refuses = False
    await until(lambda: sink.stored.minutes and sink.stored.voids)
    assert by_uid(sink.stored.voids) == by_uid([decision.token for decision in logged])


async def test_requests_are_refused_at_once_while_the_stream_is_known_to_be_away(
    sink: Sink, log: EventLog, make: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    sink.refuses = True
    first = decisions(make, 3)
    await outcomes(store_each(log, first))
    monkeypatch.setattr(module, "WAIT_S", 60.0)
    async with asyncio.timeout(1):
        later = await outcomes(store_each(log, decisions(make, 1_000)))
    assert {str(error) for error in later} == {"Redis is away: refused"}
    sink.refuses = False
    await until(lambda: sink.stored.voids)
    await log.store(decisions(make, 1))
    assert by_uid(sink.stored.voids) == by_uid([decision.token for decision in first])
    assert len(sink.stored.decisions) == 4


async def test_stream_that_does_not_answer_is_not_waited_for(
    sink: Sink, log: EventLog, make: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    sink.open.clear()
    for error in await outcomes(store_each(log, decisions(make, 20))):
        assert isinstance(error, Unavailable)
        assert "does not answer in time" in str(error)


async def test_request_that_is_half_stored_is_voided_whole(
    sink: Sink, log: EventLog, make: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    monkeypatch.setattr(events, "MAX_EVENTS", 4)
    sink.takes = 1
    logged = decisions(make, 10)
    with pytest.raises(Unavailable):
        await log.store(logged)
    sink.takes = 10**9
    await until(lambda: len(sink.stored.voids) == 10)
    assert by_uid(sink.stored.voids) == by_uid([decision.token for decision in logged])


async def test_closing_while_the_stream_is_away_ends_and_tells(sink: Sink, make: Events) -> None:
    sink.refuses = True
    log = EventLog(sink)
    running = asyncio.create_task(log.run())
    storing = store_each(log, decisions(make, 3))
    await until(lambda: sink.tries)
    await close(log, running)
    assert {type(error) for error in await outcomes(storing)} == {Unavailable}


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_the_shown_are_stored_and_the_others_do_not_count(
    sink: Sink, make: Events, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Requests of several decisions, cancelled at random, over a stream that fails at random."""
    log = EventLog(sink)
    running = asyncio.create_task(log.run())
    hurry(monkeypatch)
    monkeypatch.setattr(events, "MAX_EVENTS", 5)
    random = Random(seed)
    logged = [decisions(make, random.randint(1, 9)) for _ in range(150)]
    storing = []
    for number, request in enumerate(logged):
        storing.append(asyncio.create_task(log.store(request)))
        sink.refuses = random.random() < 0.3
        sink.stores_in_silence = random.random() < 0.5
        if random.random() < 0.2:
            storing[random.randint(0, number)].cancel()
        if number % 50 == 25:  # an outage longer than a request waits
            sink.refuses = True
            await asyncio.sleep(0.05)
        if random.random() < 0.7:
            await asyncio.sleep(random.choice([0, 0, 0.001]))
    sink.refuses = False
    done = await outcomes(storing)
    await close(log, running)
    stored = {decision.token.uid for decision in sink.stored.decisions}
    voided = {token.uid for token in sink.stored.voids}
    assert {type(outcome) for outcome in done} == {type(None), Unavailable, asyncio.CancelledError}
    for outcome, request in zip(done, logged, strict=True):
        uids = {decision.token.uid for decision in request}
        if outcome is None:
            assert uids <= stored
            assert not uids & voided
        else:
            assert uids & stored <= voided
