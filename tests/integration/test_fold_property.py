"""The binding property of the fold: its result is a function of the set of events.

Every permutation and split of a set, folded by one worker or by two at once, with events delivered twice, and rows
excluded before, meanwhile or afterwards, leaves the state that the oracle computes from the set (ledger.md, Fold).
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import permutations, product
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pullarm.domain.decision import RewardStatus, Token, uid_ms
from pullarm.domain.experiment import Aggregation, Exposure
from pullarm.domain.rebuild import Exclusion
from pullarm.storage.memory.experiments import at
from tests.integration.ledger_scene import LedgerScene, ledger_scene
from tests.ledger_events import HOUR_MS, START_MS, Event, Events


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[LedgerScene]:
    async with ledger_scene(database_url) as scene:
        yield scene


@dataclass(frozen=True)
class RewardPlan:
    slot: int
    kind: str
    reward_id: str
    credit: float
    feeds: bool
    retract: bool
    status: RewardStatus
    after_ms: int
    source: str
    twice: bool


@dataclass(frozen=True)
class DecisionPlan:
    experiment: int
    hour: int
    acting: int
    arms: list[int]
    learn_slots: int
    delivered: int
    """How often the decision itself arrives; 0 leaves what its rewards and voids say of it."""
    voids: int
    rewards: list[RewardPlan]

    def events(self, make: Events, experiment: int) -> list[Event]:
        token = make.token(
            experiment,
            at_ms=START_MS + self.hour * HOUR_MS,
            acting=self.acting,
            arms=self.arms,
            learn_slots=self.learn_slots,
        )
        decisions: list[Event] = [make.decision(token)] * self.delivered
        events = decisions + [token] * self.voids
        for plan in self.rewards:
            reward = make.reward(
                token,
                credit=plan.credit,
                slot=plan.slot,
                kind=plan.kind,
                reward_id=plan.reward_id,
                status=plan.status,
                feeds=plan.feeds,
                retract=plan.retract,
                after_ms=plan.after_ms,
                source=plan.source,
            )
            events += [reward] * (1 + plan.twice)
        return events


def _mostly(usual: object, *others: object) -> st.SearchStrategy[object]:
    return st.sampled_from([usual] * 4 + list(others))


_rewards = st.builds(
    RewardPlan,
    slot=_mostly(1, 2),
    kind=_mostly("reward", "shown"),
    reward_id=st.sampled_from(["", "a", "b"]),
    credit=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    feeds=_mostly(True, False),
    retract=_mostly(False, True),
    status=_mostly(RewardStatus.ACCEPTED, RewardStatus.LATE, RewardStatus.NOT_IN_EXPERIMENT),
    after_ms=st.sampled_from([0, 1_000, 3 * HOUR_MS]),
    source=_mostly("test", "bot"),
    twice=st.booleans(),
)
_decisions = st.builds(
    DecisionPlan,
    experiment=st.integers(0, 1),
    hour=st.sampled_from([0, 1, 23, 24, 60]),
    acting=_mostly(2, 1, 0),
    arms=st.lists(st.integers(0, 3), min_size=1, max_size=3),
    learn_slots=_mostly(1, 0, 2, 3),
    delivered=_mostly(1, 0, 2),
    voids=_mostly(0, 1, 2),
    rewards=st.lists(_rewards, max_size=5),
)


_exclusions = st.sampled_from(
    [
        Exclusion(source="bot"),
        Exclusion(from_at=at(START_MS + HOUR_MS), to_at=at(START_MS + 24 * HOUR_MS)),
        Exclusion(source="bot", to_at=at(START_MS + HOUR_MS)),
    ]
)


def _batches(events: list[Event], random: Random) -> list[list[Event]]:
    """A random permutation of the events, cut at random places, with some batches delivered again."""
    shuffled = random.sample(events, len(events))
    cuts = sorted(random.sample(range(len(shuffled) + 1), random.randint(0, len(shuffled))))
    batches = [
        shuffled[start:end]
        for start, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)
        if start < end
    ]
    return batches + random.sample(batches, random.randint(0, len(batches)) // 2)


@settings(
    max_examples=75,
    deadline=None,
    derandomize=True,
    # One database serves all examples: each has experiments and uids of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    plans=st.lists(_decisions, min_size=1, max_size=7),
    aggregations=st.tuples(*[st.sampled_from(Aggregation)] * 2),
    exposures=st.tuples(*[st.sampled_from(Exposure)] * 2),
    exclusions=st.lists(_exclusions, max_size=1),
    workers=st.integers(1, 2),
    random=st.randoms(use_true_random=False),
)
async def test_any_order_split_and_number_of_workers_gives_the_same_state(
    scene: LedgerScene,
    plans: list[DecisionPlan],
    aggregations: tuple[Aggregation, Aggregation],
    exposures: tuple[Exposure, Exposure],
    exclusions: list[Exclusion],
    workers: int,
    random: Random,
) -> None:
    kinds = zip(aggregations, exposures, strict=True)
    numbers = [await scene.experiment(aggregation, exposure) for aggregation, exposure in kinds]
    make = Events(Random(numbers[0]))
    events = [event for plan in plans for event in plan.events(make, numbers[plan.experiment])]
    if not events:
        return
    shares: list[list[tuple[list[Event], float]]] = [[] for _ in range(workers)]
    for one in _batches(events, random):
        random.choice(shares).append((one, random.choice([0, 0, 0.001])))

    async def work(share: list[tuple[list[Event], float]]) -> None:
        for one, pause_s in share:
            await asyncio.sleep(pause_s)
            await scene.fold(one)

    async def unlearn() -> None:
        for exclusion in exclusions:
            await asyncio.sleep(random.choice([0, 0, 0.01, 0.03]))
            await scene.exclude(numbers[0], exclusion)

    await asyncio.gather(*map(work, shares), unlearn())
    await scene.check(numbers, events)


def _about_one_decision(make: Events, experiment: int, *, void: bool) -> list[Event]:
    """A decision, a reward, its repetition under the same id, another reward, and its retraction or a void."""
    token = make.token(experiment)
    retraction = make.reward(token, reward_id="b", retract=True, after_ms=4_000)
    return [
        make.decision(token),
        make.reward(token, credit=0.6, reward_id="a", after_ms=2_000),
        make.reward(token, credit=0.3, reward_id="a", after_ms=1_000),
        make.reward(token, credit=0.5, reward_id="b", after_ms=500),
        token if void else retraction,
    ]


def _copy(events: list[Event], make: Events, arm: int) -> list[Event]:
    """The same events about another decision, of this arm."""
    old = events[0] if isinstance(events[0], Token) else events[0].token
    token = old._replace(uid=make.uid(uid_ms(old.uid)), arms=[arm])
    return [token if isinstance(event, Token) else event._replace(token=token) for event in events]


def _orders_and_splits(events: list[Event], make: Events) -> list[list[list[Event]]]:
    """For every permutation and every way to cut it, the batches; each about a decision and an arm of its own."""
    found = []
    cuts = list(product([False, True], repeat=len(events) - 1))
    orders = permutations(range(len(events)))
    for arm, (order, cut) in enumerate(product(orders, cuts), start=1):
        copies = _copy(events, make, arm)
        batches = [[copies[order[0]]]]
        for index, apart in zip(order[1:], cut, strict=True):
            if apart:
                batches.append([])
            batches[-1].append(copies[index])
        found.append(batches)
    return found


@pytest.mark.parametrize("void", [False, True], ids=["retraction", "void"])
@pytest.mark.parametrize("workers", [1, 2])
async def test_every_permutation_and_split_of_five_events(
    scene: LedgerScene, workers: int, void: bool
) -> None:
    """All 120 x 16 of them, for each aggregation.

    The batches number k of all of them are folded as one; two workers fold those and the next ones at the same time.
    """
    make = Events()
    numbers = [await scene.experiment(aggregation) for aggregation in Aggregation]
    plans = [
        plan
        for number in numbers
        for plan in _orders_and_splits(_about_one_decision(make, number, void=void), make)
    ]
    steps = [
        [event for plan in plans for batch in plan[k : k + 1] for event in batch] for k in range(5)
    ]
    for k in range(0, len(steps), workers):
        await asyncio.gather(*map(scene.fold, steps[k : k + workers]))
    assert len(plans) == 3 * 120 * 16
    await scene.check(numbers, [event for step in steps for event in step])


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_two_workers_race_for_the_same_events(scene: LedgerScene, seed: int) -> None:
    """Both get every event, each in an order and batches of its own, and neither fails."""
    random = Random(seed)
    numbers = [await scene.experiment(aggregation) for aggregation in Aggregation]
    events = _busy_hour(Events(random), numbers, random)

    async def work(order: Random) -> None:
        shuffled = order.sample(events, len(events))
        while shuffled:
            size = order.randint(1, 120)
            await scene.fold(shuffled[:size])
            del shuffled[:size]

    await asyncio.gather(*(work(Random(f"{seed} {worker}")) for worker in range(2)))
    await scene.check(numbers, events)


def _busy_hour(make: Events, numbers: list[int], random: Random) -> list[Event]:
    events: list[Event] = []
    for _ in range(400):
        token = make.token(
            random.choice(numbers),
            at_ms=START_MS + random.randrange(HOUR_MS),
            acting=random.choice([1, 2]),
            arms=[random.randint(1, 3)],
        )
        events.append(make.decision(token))
        for _ in range(random.choice([0, 0, 1, 3])):
            events.append(
                make.reward(
                    token,
                    credit=random.choice([0.2, 0.9]),
                    reward_id=random.choice(["a", "b"]),
                    retract=random.random() < 0.1,
                    after_ms=random.randrange(HOUR_MS),
                )
            )
        if random.random() < 0.2:
            events.append(token)
    return events
