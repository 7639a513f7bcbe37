"""Events of many requests share an entry; each request learns of its own, and nothing shown is lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random

import pytest

from pullarm.domain.decision import Batch, Decision, ServingMinute, Token
from pullarm.domain.errors import Unavailable
from pullarm.storage import events
from serving import event_log as module
from serving.event_log import EventLog
from tests.ledger_events import Events
from tests.sink import Sink

MINUTE = ServingMinute("serving-1", 1, 7, 2, 29_340_000, 5, 1, 0, 0, {3: 5})


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
async def log(sink: Sink) -> AsyncIterator[EventLog]:
    log = EventLog(sink)
    running = asyncio.create_task(log.run())
    yield log
    sink.refuses, sink.takes = False, 10**9
    sink.open.set()
    log.close()
    async with asyncio.timeout(5):
        await running


@pytest.fixture
def make() -> Events:
    return Events()


def decisions(make: Events, count: int, **attributes: str) -> list[Decision]:
    return [
        make.decision(make.token(7))._replace(attributes=attributes, request_id=str(number))
        for number in range(count)
    ]


async def outcomes(storing: list["asyncio.Task[None]"]) -> list[BaseException | None]:
    async with asyncio.timeout(10):
        return await asyncio.gather(*storing, return_exceptions=True)


def store_each(log: EventLog, logged: list[Decision]) -> list["asyncio.Task[None]"]:
    return [asyncio.create_task(log.store([event])) for event in logged]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


def by_uid(tokens: list[Token]) -> list[bytes]:
    return sorted(token.uid for token in tokens)


async def test_requests_in_flight_share_an_entry(sink: Sink, log: EventLog, make: Events) -> None:
    sink.open.clear()
    logged = decisions(make, 101)
    storing = store_each(log, logged[:1])
    await until(lambda: sink.tries == 1)
    storing += store_each(log, logged[1:])
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in storing)
    sink.open.set()
    assert await outcomes(storing) == [None] * 101
    assert [entry.events() for entry in sink.entries] == [1, 100]
    assert sink.stored.decisions == logged


async def test_request_returns_only_once_all_its_events_are_stored(
    sink: Sink, log: EventLog, make: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_EVENTS", 2)
    logged = decisions(make, 5)
    await log.store(logged)
    assert [entry.events() for entry in sink.entries] == [2, 2, 1]
    assert sink.stored.decisions == logged


async def test_events_of_every_kind_arrive_as_they_were(
    sink: Sink, log: EventLog, make: Events
) -> None:
    (decision,) = decisions(make, 1)
    reward = make.reward(make.token(7), reward_id="r")
    await log.store([decision, reward])
    void = make.token(7)
    log.void(void)
    log.tell([MINUTE])
    await until(lambda: sink.stored.minutes)
    assert sink.stored == Batch([decision], [reward], [void], [MINUTE])


async def test_nothing_to_store_is_stored_at_once(sink: Sink, log: EventLog) -> None:
    async with asyncio.timeout(1):
        await log.store([])
    assert sink.tries == 0


@pytest.mark.parametrize("in_hand", [True, False], ids=["while it is committed", "while it waits"])
async def test_cancelling_one_of_a_hundred_harms_nobody_and_voids_it(
    sink: Sink, log: EventLog, make: Events, *, in_hand: bool
) -> None:
    sink.open.clear()
    ahead = [] if in_hand else store_each(log, decisions(make, 1))
    if not in_hand:
        await until(lambda: sink.tries == 1)
    logged = decisions(make, 100)
    storing = store_each(log, logged)
    await asyncio.sleep(0)
    await until(lambda: sink.tries == 1)
    storing[42].cancel()
    await asyncio.sleep(0)
    sink.open.set()
    done = await outcomes(storing)
    assert isinstance(done.pop(42), asyncio.CancelledError)
    assert done == [None] * 99
    assert await outcomes(ahead) == [None] * len(ahead)
    await until(lambda: sink.stored.voids)
    assert sink.stored.voids == [logged[42].token]
    uids = [decision.token.uid for decision in sink.stored.decisions]
    assert len(uids) == len(set(uids)) == 100 + len(ahead)
    await log.store(decisions(make, 1))  # the committer lives


async def test_cancelled_reward_is_not_voided(sink: Sink, log: EventLog, make: Events) -> None:
    sink.open.clear()
    storing = asyncio.create_task(log.store([make.reward(make.token(7))]))
    await until(lambda: sink.tries == 1)
    storing.cancel()
    sink.open.set()
    await outcomes([storing])
    await log.store(decisions(make, 1))
    assert (len(sink.stored.rewards), sink.stored.voids) == (1, [])


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
    monkeypatch.setattr(module, "RETRY_FOR_S", 0.02)
    sink.refuses, sink.stores_in_silence = True, stores_in_silence
    logged = decisions(make, 30)
    storing = store_each(log, logged)
    storing.append(asyncio.create_task(log.store([make.reward(make.token(7))])))
    log.tell([MINUTE])
    done = await outcomes(storing)
    assert [str(error) for error in done] == ["Redis is away: refused"] * 31
    assert {type(error) for error in done} == {Unavailable}
    assert len({id(error) for error in done}) == 31  # tracebacks of a shared one would mix
    await asyncio.sleep(0.1)  # still away: the voids wait
    sink.refuses = False
    sink.entries.clear()
    await until(lambda: sink.stored.minutes)
    assert by_uid(sink.stored.voids) == by_uid([decision.token for decision in logged])
    assert (sink.stored.decisions, sink.stored.rewards) == ([], [])


async def test_request_that_is_half_stored_is_voided_whole(
    sink: Sink, log: EventLog, make: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_FOR_S", 0.02)
    monkeypatch.setattr(events, "MAX_EVENTS", 4)
    sink.takes = 1
    logged = decisions(make, 10)
    with pytest.raises(Unavailable):
        await log.store(logged)
    sink.takes = 10**9
    await log.store(decisions(make, 1))
    await until(lambda: len(sink.stored.voids) == 10)
    assert by_uid(sink.stored.voids) == by_uid([decision.token for decision in logged])


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
    await log.store(decisions(make, 200, **large))
    framing = 16
    assert max(sink.sizes) <= 256 * 1024 + framing
    assert min(sink.sizes[:-1]) > 256 * 1024 * 0.9
    assert len(sink.stored.decisions) == 200


async def test_event_larger_than_an_entry_goes_alone(
    sink: Sink, log: EventLog, make: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_BYTES", 50)
    await log.store(decisions(make, 3))
    assert [entry.events() for entry in sink.entries] == [1, 1, 1]


async def test_too_many_waiting_events_are_refused_at_once(
    sink: Sink, log: EventLog, make: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 10)
    sink.open.clear()
    first = store_each(log, decisions(make, 1))
    await until(lambda: sink.tries == 1)  # it is in hand and waits no more
    storing = store_each(log, decisions(make, 10))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="too many events wait"):
        await log.store(decisions(make, 1))
    sink.open.set()
    assert await outcomes(first + storing) == [None] * 11
    assert (len(sink.stored.decisions), sink.stored.voids) == (11, [])
    await log.store(decisions(make, 10))


async def close(log: EventLog, running: Awaitable[None]) -> None:
    log.close()
    async with asyncio.timeout(5):
        await running


async def test_closing_stores_what_waits(
    sink: Sink, make: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_EVENTS", 3)
    log = EventLog(sink)
    storing = store_each(log, decisions(make, 10))
    await asyncio.sleep(0)
    log.void(make.token(7))
    await close(log, log.run())
    assert await outcomes(storing) == [None] * 10
    assert (len(sink.stored.decisions), len(sink.stored.voids)) == (10, 1)


async def test_closing_with_nothing_waiting_ends(sink: Sink) -> None:
    log = EventLog(sink)
    running = asyncio.create_task(log.run())
    await asyncio.sleep(0.01)
    await close(log, running)
    assert sink.tries == 0


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
    monkeypatch.setattr(module, "RETRY_FOR_S", 0.0)
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
