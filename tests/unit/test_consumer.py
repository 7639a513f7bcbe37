"""Every event that was claimed is folded or set aside, whatever fails in between."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import pytest

from pullarm.domain.assignment import MICRO
from pullarm.domain.cohorts import CohortRule
from pullarm.domain.decision import Batch, Decision, ServingMinute, Span, Token
from pullarm.domain.errors import Refused, Unavailable
from pullarm.domain.experiment import Catalogue
from pullarm.domain.ports import Entry, FoldResult
from pullarm.storage import events
from pullarm.storage.memory import MemoryEvents, MemoryExperiments, MemoryLedger
from tests.builders import FixedClock
from tests.ledger_events import HOUR_MS, START_MS, THOMPSON, Event, Events, batch, draft, entry
from workers import consumer as module
from workers.consumer import IDLE_MS, Consumer

CELL = (THOMPSON, 1, START_MS // HOUR_MS)


class Stream(MemoryEvents):
    """A stream that goes away for some calls and whose time is the test's."""

    def __init__(self) -> None:
        self.now_s = 0.0
        super().__init__(lambda: self.now_s)
        self.away = 0
        self.loses_acknowledgements = 0

    async def claim(self, count: int, wait_ms: int) -> list[Entry]:
        if self.away:
            self.away -= 1
            raise Unavailable("Redis is away: refused")
        return await super().claim(count, wait_ms)

    async def acknowledge(self, entries: Sequence[Entry]) -> None:
        if self.loses_acknowledgements:
            self.loses_acknowledgements -= 1
            raise Unavailable("Redis is away: refused")
        await super().acknowledge(entries)


class Ledger(MemoryLedger):
    """A ledger that goes away for some calls and does not take certain events."""

    def __init__(self, experiments: MemoryExperiments) -> None:
        super().__init__(experiments)
        self.tries = 0
        self.away = 0
        self.refuses: Callable[[Batch], bool] = lambda batch: False
        self.open = asyncio.Event()
        self.open.set()

    async def fold(self, batch: Batch, now_ms: int) -> FoldResult:
        self.tries += 1
        await self.open.wait()
        if self.away:
            self.away -= 1
            raise Unavailable("PostgreSQL is away: refused")
        if self.refuses(batch):
            raise Refused("the ledger does not take these events: a poisonous one")
        return await super().fold(batch, now_ms)


@dataclass
class Scene:
    """A consumer over a stream and a ledger with a closed experiment 1 and an open experiment 2."""

    stream: Stream = field(default_factory=Stream)
    experiments: MemoryExperiments = field(default_factory=MemoryExperiments)
    make: Events = field(default_factory=Events)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.experiments)
        self.consumer = Consumer(self.stream, self.ledger, self.experiments, FixedClock())

    async def send(self, *sent: Decision | Token) -> None:
        await self.stream.append(entry(batch(*sent)))

    async def consumed(self) -> None:
        """Run the consumer until nothing waits in the stream."""
        running = asyncio.create_task(self.consumer.run())
        async with asyncio.timeout(60):
            while await self.stream.backlog():
                await asyncio.sleep(0.005)
        self.consumer.stop()
        async with asyncio.timeout(30):
            await running

    async def learned(self) -> dict[tuple[int, int, int], tuple[int, int]]:
        return await self.ledger.posterior(1)


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr(module, "WAIT_MS", 5)
    scene = Scene()
    await scene.experiments.create(draft("closed"), START_MS)
    await scene.experiments.create(draft("open", catalogue=Catalogue.OPEN, max_arms=4), START_MS)
    yield scene
    assert await scene.ledger.verify(1) == []


async def test_events_are_folded_and_acknowledged(scene: Scene) -> None:
    token = scene.make.token(1)
    await scene.send(scene.make.decision(token))
    await scene.stream.append(entry(batch(scene.make.reward(token, credit=0.5))))
    await scene.consumed()
    assert await scene.learned() == {CELL: (1, MICRO // 2)}
    assert scene.ledger.quarantined == {}


async def test_entries_at_hand_are_one_fold(scene: Scene) -> None:
    for _ in range(20):
        await scene.send(scene.make.decision(scene.make.token(1)))
    await scene.consumed()
    assert await scene.learned() == {CELL: (20, 0)}
    assert scene.ledger.tries == 1


async def test_empty_entry_is_acknowledged_without_a_fold(scene: Scene) -> None:
    await scene.send()
    await scene.consumed()
    assert scene.ledger.tries == 0


async def test_ledger_that_is_away_is_waited_for(scene: Scene) -> None:
    scene.ledger.away = 3
    await scene.send(scene.make.decision(scene.make.token(1)))
    await scene.consumed()
    assert scene.ledger.tries == 4
    assert await scene.learned() == {CELL: (1, 0)}


async def test_stream_that_is_away_is_waited_for(scene: Scene) -> None:
    scene.stream.away = 1
    await scene.send(scene.make.decision(scene.make.token(1)))
    await scene.consumed()
    assert await scene.learned() == {CELL: (1, 0)}


async def test_lost_acknowledgement_counts_nothing_twice(scene: Scene) -> None:
    scene.stream.loses_acknowledgements = 2
    token = scene.make.token(1)
    await scene.send(scene.make.decision(token))
    await scene.stream.append(entry(batch(scene.make.reward(token))))
    await scene.consumed()
    assert scene.ledger.tries == 3
    assert await scene.learned() == {CELL: (1, MICRO)}


async def test_entries_of_a_dead_consumer_are_taken_over(scene: Scene) -> None:
    await scene.send(scene.make.decision(scene.make.token(1)))
    assert len(await scene.stream.claim(10, 0)) == 1
    scene.stream.now_s += IDLE_MS / 1000
    await scene.consumed()
    assert await scene.learned() == {CELL: (1, 0)}


async def test_entries_of_a_living_consumer_are_left_to_it(scene: Scene) -> None:
    await scene.send(scene.make.decision(scene.make.token(1)))
    held = await scene.stream.claim(10, 0)
    scene.stream.now_s += IDLE_MS / 1000 - 1
    running = asyncio.create_task(scene.consumer.run())
    await asyncio.sleep(0.05)
    scene.consumer.stop()
    await running
    assert scene.ledger.tries == 0
    await scene.stream.acknowledge(held)


async def test_stopping_finishes_what_is_in_hand(scene: Scene) -> None:
    scene.ledger.open.clear()
    await scene.send(scene.make.decision(scene.make.token(1)))
    running = asyncio.create_task(scene.consumer.run())
    while not scene.ledger.tries:
        await asyncio.sleep(0.001)
    scene.consumer.stop()
    await asyncio.sleep(0.02)
    assert not running.done()
    scene.ledger.open.set()
    await running
    assert await scene.stream.backlog() == 0
    assert await scene.learned() == {CELL: (1, 0)}


async def test_events_the_ledger_refuses_are_set_aside_and_the_others_folded(scene: Scene) -> None:
    logged = [scene.make.decision(scene.make.token(1)) for _ in range(9)]
    rewards = [scene.make.reward(decision.token) for decision in logged]
    bad: list[Event] = [logged[3], rewards[5], rewards[6]]
    scene.ledger.refuses = lambda batch: any(
        event in bad for event in [*batch.decisions, *batch.rewards]
    )
    for decision, reward in zip(logged, rewards, strict=True):
        await scene.stream.append(entry(batch(decision, reward)))
    await scene.stream.append(entry(Batch(logged[3:4], [], [], spans=[Span("serving-1", 0, 3)])))
    await scene.consumed()
    (come,) = await scene.ledger.intake()
    assert (come.numbered, come.missing) == (3, 0)  # what is set aside has come
    kept = scene.ledger.quarantined
    assert sorted(payload for _, _, payload in kept.values()) == sorted(map(events.pack, bad))
    assert {(at, problem) for at, problem, _ in kept.values()} == {
        (START_MS, "the ledger does not take these events: a poisonous one")
    }
    # The refused decision's reward made it known all the same, so nine are served.
    assert await scene.learned() == {CELL: (9, 7 * MICRO)}


KINDS = [kinds for kinds in product((0, 1, 2), repeat=4) if 2 <= sum(kinds) <= 3]


@pytest.mark.parametrize("counts", KINDS, ids=str)
async def test_every_mixture_is_halved_down_to_single_events(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, counts: tuple[int, int, int, int]
) -> None:
    monkeypatch.setattr(module, "_TRIES", 1)
    scene.ledger.refuses = lambda batch: True
    make, (d, r, v, m) = scene.make, counts
    poisonous = Batch(
        [make.decision(make.token(1)) for _ in range(d)],
        [make.reward(make.token(1)) for _ in range(r)],
        [make.token(1) for _ in range(v)],
        [ServingMinute("serving-1", n, 1, 2, 9, 1, 0, 0, 0, {}) for n in range(m)],
    )
    await scene.stream.append(entry(poisonous))
    await scene.consumed()
    expected = sorted(events.pack(event) for kind in poisonous[:4] for event in kind)
    kept = sorted(payload for _, _, payload in scene.ledger.quarantined.values())
    assert kept == expected


async def test_refusal_that_passes_sets_nothing_aside(scene: Scene) -> None:
    scene.ledger.refuses = lambda batch: scene.ledger.tries < 3
    await scene.send(*(scene.make.decision(scene.make.token(1)) for _ in range(4)))
    await scene.consumed()
    assert scene.ledger.quarantined == {}
    assert await scene.learned() == {CELL: (4, 0)}


@pytest.mark.parametrize("payload", [b"", b"\xff", b"\x02", b"\x02\xff", b"\x02\x93\x90\x90\x01"])
async def test_malformed_entry_is_set_aside_and_the_others_folded(
    scene: Scene, payload: bytes
) -> None:
    await scene.send(scene.make.decision(scene.make.token(1)))
    await scene.stream.append(payload)
    await scene.send(scene.make.decision(scene.make.token(1)))
    await scene.consumed()
    ((name, (at, problem, kept)),) = scene.ledger.quarantined.items()
    assert (name, at, kept) == ("2-0", START_MS, payload)
    assert problem.startswith("malformed: ")
    assert await scene.learned() == {CELL: (2, 0)}


async def test_newcomers_of_an_open_catalogue_become_arms(scene: Scene) -> None:
    for names in (["three", "four"], ["four", "three", "one"], ["five"]):
        decision = scene.make.decision(scene.make.token(2))
        await scene.send(decision._replace(newcomers=names))
    await scene.consumed()
    arms = (await scene.experiments.get("open")).arms
    assert [(arm.arm_no, arm.arm_id) for arm in arms] == [
        *((1, "one"), (2, "two"), (3, "three"), (4, "four"))  # and no more than max_arms
    ]


async def test_newcomers_of_a_closed_catalogue_stay_out(scene: Scene) -> None:
    decision = scene.make.decision(scene.make.token(1))
    await scene.send(decision._replace(newcomers=["three"]))
    await scene.consumed()
    assert [arm.arm_id for arm in (await scene.experiments.get("closed")).arms] == ["one", "two"]


async def test_values_that_are_seen_become_cohorts(scene: Scene) -> None:
    new = draft("countries")
    rule = CohortRule(attribute="country", max_values=3)
    made = await scene.experiments.create(
        replace(new, spec=replace(new.spec, cohorts=rule)), START_MS
    )
    for country, attribute in (("it", "country"), ("fr", ""), ("de", "country"), ("x", "device")):
        decision = scene.make.decision(scene.make.token(made.number))
        await scene.send(decision._replace(attributes={"country": country}, new_cohort=attribute))
    await scene.consumed()
    found = await scene.experiments.get("countries")
    assert [cohort.value for cohort in found.cohorts] == ["it", "de"]
    assert scene.ledger.quarantined == {}


async def test_registration_that_fails_is_tried_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    register, failures = scene.experiments.register_arms, [Unavailable(), Unavailable()]

    async def failing(number: int, arm_ids: Sequence[str], now_ms: int) -> int:
        if failures:
            raise failures.pop()
        return await register(number, arm_ids, now_ms)

    monkeypatch.setattr(scene.experiments, "register_arms", failing)
    decision = scene.make.decision(scene.make.token(2))
    await scene.send(decision._replace(newcomers=["three"]))
    await scene.consumed()
    assert [arm.arm_id for arm in (await scene.experiments.get("open")).arms][2:] == ["three"]
    assert await scene.ledger.posterior(2) == {CELL: (1, 0)}
