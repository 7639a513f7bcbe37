"""The rules of the fold, one by one, each in whatever order the events come."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import permutations

import pytest

from pullarm.domain.assignment import MICRO
from pullarm.domain.decision import NO_POLICY, Reason, RewardStatus, Token, uid_ms
from pullarm.domain.experiment import Aggregation
from pullarm.domain.ports import FoldResult
from tests.contract.conftest import Stores
from tests.ledger_events import HOUR_MS, START_MS, THOMPSON, Event, Events, batch, draft

_HOUR = START_MS // HOUR_MS
Cells = dict[tuple[int, int, int], tuple[int, int]]


@dataclass
class Scene:
    """One ledger with an experiment for each aggregation."""

    stores: Stores
    numbers: dict[Aggregation, int]
    make: Events = field(default_factory=Events)

    @property
    def first(self) -> int:
        return self.numbers[Aggregation.FIRST]

    async def fold(self, *events: Event) -> FoldResult:
        return await self.stores.ledger.fold(batch(*events), START_MS)

    async def posterior(self, number: int | None = None) -> Cells:
        return await self.stores.ledger.posterior(number or self.first)

    async def in_every_order(
        self, number: int, events: list[Event], expected: tuple[int, int] | None
    ) -> None:
        """Fold copies of these events about one decision in every order, each copy in an hour of its own."""
        for hours, order in enumerate(permutations(range(len(events))), start=1):
            copies = self._copies(events, hours)
            for index in order:
                await self.fold(copies[index])
            posterior = await self.posterior(number)
            assert posterior.get((THOMPSON, 1, _HOUR + hours)) == expected, f"order {order}"
        assert await self.stores.ledger.verify(number) == []

    def _copies(self, events: list[Event], hours: int) -> list[Event]:
        """The same events about a decision that was made some hours later."""
        (old,) = {_token(event).uid for event in events}
        uid = self.make.uid(uid_ms(old) + hours * HOUR_MS)
        return [_about(event, _token(event)._replace(uid=uid)) for event in events]


def _token(event: Event) -> Token:
    return event if isinstance(event, Token) else event.token


def _about(event: Event, token: Token) -> Event:
    return token if isinstance(event, Token) else event._replace(token=token)


@pytest.fixture
async def scene(stores: Stores) -> AsyncIterator[Scene]:
    made = {
        aggregation: await stores.experiments.create(
            draft(aggregation.value, aggregation=aggregation), START_MS
        )
        for aggregation in Aggregation
    }
    scene = Scene(stores, {a: experiment.number for a, experiment in made.items()})
    yield scene
    for number in scene.numbers.values():
        assert await stores.ledger.verify(number) == []


async def test_decision_is_a_serve_at_once_and_its_reward_counts_later(scene: Scene) -> None:
    token = scene.make.token(scene.first)
    await scene.fold(scene.make.decision(token))
    assert await scene.posterior() == {(THOMPSON, 1, _HOUR): (1, 0)}
    await scene.fold(scene.make.reward(token, credit=0.25))
    assert await scene.posterior() == {(THOMPSON, 1, _HOUR): (1, 250_000)}


async def test_redelivery_changes_nothing(scene: Scene) -> None:
    token = scene.make.token(scene.first)
    events: list[Event] = [scene.make.decision(token), scene.make.reward(token)]
    await scene.fold(*events)
    before = await scene.posterior()
    again = await scene.fold(*events)
    assert (again.decisions, again.rewards) == (0, 0)
    await scene.fold(*events, *events)
    assert await scene.posterior() == before == {(THOMPSON, 1, _HOUR): (1, MICRO)}


async def test_result_tells_what_was_new(scene: Scene) -> None:
    other = scene.numbers[Aggregation.SUM]
    known = scene.make.token(scene.first)
    new, early = scene.make.token(other), scene.make.token(other)
    result = await scene.fold(scene.make.decision(known), scene.make.reward(early))
    assert result == FoldResult({scene.first: 1, other: 1}, 1, 1)
    result = await scene.fold(
        scene.make.decision(known),
        scene.make.decision(early),
        scene.make.decision(new),
        scene.make.reward(new),
    )
    assert result == FoldResult({scene.first: 2, other: 2}, 2, 1)


async def test_reward_before_its_decision_makes_a_stub_that_is_completed_without_learning_twice(
    scene: Scene,
) -> None:
    token = scene.make.token(scene.first)
    await scene.fold(scene.make.reward(token))
    assert await scene.posterior() == {(THOMPSON, 1, _HOUR): (1, MICRO)}
    await scene.fold(scene.make.decision(token))
    assert await scene.posterior() == {(THOMPSON, 1, _HOUR): (1, MICRO)}


async def test_void_counts_as_never_served(scene: Scene) -> None:
    token = scene.make.token(scene.first)
    events: list[Event] = [scene.make.decision(token), token, token]
    await scene.in_every_order(scene.first, events, None)


async def test_void_cancels_the_credit(scene: Scene) -> None:
    token = scene.make.token(scene.first)
    events: list[Event] = [scene.make.decision(token), scene.make.reward(token), token]
    await scene.in_every_order(scene.first, events, None)


async def test_void_of_one_decision_leaves_the_others(scene: Scene) -> None:
    void, kept = scene.make.token(scene.first), scene.make.token(scene.first)
    await scene.fold(scene.make.decision(void), scene.make.decision(kept), scene.make.reward(kept))
    await scene.fold(void)
    assert await scene.posterior() == {(THOMPSON, 1, _HOUR): (1, MICRO)}


@pytest.mark.parametrize(
    ("aggregation", "credit"),
    [(Aggregation.FIRST, 500_000), (Aggregation.SUM, MICRO), (Aggregation.MAX, 900_000)],
)
async def test_several_rewards_become_one_credit(
    scene: Scene, aggregation: Aggregation, credit: int
) -> None:
    number = scene.numbers[aggregation]
    token = scene.make.token(number)
    events: list[Event] = [
        scene.make.reward(token, credit=0.9, reward_id="a", after_ms=3_000),
        scene.make.reward(token, credit=0.5, reward_id="b", after_ms=2_000),
        scene.make.reward(token, credit=0.3, reward_id="c", after_ms=4_000),
    ]
    await scene.in_every_order(number, events, (1, credit))


async def test_sum_below_one_is_exact(scene: Scene) -> None:
    number = scene.numbers[Aggregation.SUM]
    token = scene.make.token(number)
    await scene.fold(*(scene.make.reward(token, credit=0.1, reward_id=f"{n}") for n in range(7)))
    assert await scene.posterior(number) == {(THOMPSON, 1, _HOUR): (1, 700_000)}


@pytest.mark.parametrize("aggregation", list(Aggregation))
async def test_repeated_reward_id_counts_as_first_received(
    scene: Scene, aggregation: Aggregation
) -> None:
    number = scene.numbers[aggregation]
    token = scene.make.token(number)
    events: list[Event] = [
        scene.make.decision(token),
        scene.make.reward(token, credit=0.8, reward_id="a", after_ms=2_000),
        scene.make.reward(token, credit=0.1, reward_id="a", after_ms=1_000),
    ]
    await scene.in_every_order(number, events, (1, 100_000))


@pytest.mark.parametrize("aggregation", list(Aggregation))
async def test_retraction_cancels_its_reward_id_before_and_after(
    scene: Scene, aggregation: Aggregation
) -> None:
    number = scene.numbers[aggregation]
    token = scene.make.token(number)
    events: list[Event] = [
        scene.make.reward(token, credit=0.8, reward_id="a"),
        scene.make.reward(token, credit=0.0, reward_id="a", retract=True, after_ms=5_000),
        scene.make.reward(token, credit=0.2, reward_id="b", after_ms=9_000),
    ]
    await scene.in_every_order(number, events, (1, 200_000))


@pytest.mark.parametrize("aggregation", list(Aggregation))
async def test_retraction_of_all_there_is_leaves_nothing(
    scene: Scene, aggregation: Aggregation
) -> None:
    number = scene.numbers[aggregation]
    token = scene.make.token(number)
    events: list[Event] = [
        scene.make.decision(token),
        scene.make.reward(token, credit=0.5),
        scene.make.reward(token, credit=1.0, retract=True),
    ]
    await scene.in_every_order(number, events, (1, 0))


@pytest.mark.parametrize("status", [RewardStatus.LATE, RewardStatus.NOT_IN_EXPERIMENT])
async def test_unaccepted_reward_is_never_credited(scene: Scene, status: RewardStatus) -> None:
    token = scene.make.token(scene.first)
    result = await scene.fold(
        scene.make.decision(token),
        scene.make.reward(token, credit=0.7, reward_id="a", status=status),
        scene.make.reward(token, credit=0.2, reward_id="b", after_ms=2_000),
        scene.make.reward(token, reward_id="b", status=status, retract=True),
    )
    assert result.rewards == 3
    assert await scene.posterior() == {(THOMPSON, 1, _HOUR): (1, 200_000)}


async def test_only_the_first_slots_are_learned(scene: Scene) -> None:
    token = scene.make.token(scene.first, arms=[2, 1, 3], learn_slots=2)
    await scene.fold(
        scene.make.decision(token),
        *(scene.make.reward(token, credit=slot / 10, slot=slot) for slot in (1, 2, 3)),
    )
    assert await scene.posterior() == {
        (THOMPSON, 2, _HOUR): (1, 100_000),
        (THOMPSON, 1, _HOUR): (1, 200_000),
    }


async def test_more_learning_slots_than_slots(scene: Scene) -> None:
    token = scene.make.token(scene.first, arms=[2], learn_slots=3)
    await scene.fold(scene.make.decision(token), scene.make.reward(token, slot=3))
    assert await scene.posterior() == {(THOMPSON, 2, _HOUR): (1, 0)}


async def test_arm_in_two_slots_counts_twice(scene: Scene) -> None:
    token = scene.make.token(scene.first, arms=[1, 1], learn_slots=2)
    await scene.fold(scene.make.decision(token), scene.make.reward(token, slot=2))
    assert await scene.posterior() == {(THOMPSON, 1, _HOUR): (2, MICRO)}
    await scene.fold(token)
    assert await scene.posterior() == {}


async def test_decision_of_no_policy_is_kept_and_never_learned(scene: Scene) -> None:
    token = scene.make.token(scene.first, acting=NO_POLICY, reason=Reason.NOT_IN_TRAFFIC)
    result = await scene.fold(scene.make.decision(token), scene.make.reward(token), token)
    assert (result.decisions, result.rewards) == (1, 1)
    assert await scene.posterior() == {}


async def test_posterior_learns_by_the_policy_that_acted(scene: Scene) -> None:
    token = scene.make.token(scene.first, acting=1)._replace(assigned=THOMPSON)
    await scene.fold(scene.make.decision(token), scene.make.reward(token))
    assert await scene.posterior() == {(1, 1, _HOUR): (1, MICRO)}


async def test_kind_that_does_not_feed_is_not_learned(scene: Scene) -> None:
    token = scene.make.token(scene.first)
    await scene.fold(
        scene.make.decision(token),
        scene.make.reward(token, credit=0.3),
        scene.make.reward(token, kind="shown", feeds=False),
    )
    assert await scene.posterior() == {(THOMPSON, 1, _HOUR): (1, 300_000)}


async def test_kind_that_begins_to_feed_is_learned_whole(scene: Scene) -> None:
    number = scene.numbers[Aggregation.SUM]
    token = scene.make.token(number)
    events: list[Event] = [
        scene.make.reward(token, credit=0.3, reward_id="a", feeds=False),
        scene.make.reward(token, credit=0.2, reward_id="b"),
    ]
    await scene.in_every_order(number, events, (1, 500_000))


async def test_of_two_kinds_that_feed_the_first_by_name_is_learned(scene: Scene) -> None:
    token = scene.make.token(scene.first)
    events: list[Event] = [
        scene.make.reward(token, credit=0.9, kind="click"),
        scene.make.reward(token, credit=0.4, kind="buy"),
        scene.make.reward(token, credit=0.8, kind="a", feeds=False),
    ]
    await scene.in_every_order(scene.first, events, (1, 400_000))


async def test_cells_are_by_hour_of_decision(scene: Scene) -> None:
    last_ms, next_ms = START_MS + HOUR_MS - 1, START_MS + HOUR_MS
    last, following = (scene.make.token(scene.first, at_ms=at) for at in (last_ms, next_ms))
    await scene.fold(
        scene.make.decision(last),
        scene.make.decision(following),
        scene.make.reward(last, after_ms=20 * HOUR_MS),
    )
    assert await scene.posterior() == {
        (THOMPSON, 1, _HOUR): (1, MICRO),
        (THOMPSON, 1, _HOUR + 1): (1, 0),
    }


async def test_experiments_in_one_batch_are_kept_apart(scene: Scene) -> None:
    tokens = [scene.make.token(number, arms=[number]) for number in scene.numbers.values()]
    result = await scene.fold(
        *map(scene.make.decision, tokens), scene.make.reward(tokens[0], credit=0.5), tokens[1]
    )
    numbers = list(scene.numbers.values())
    assert result.folds == dict.fromkeys(numbers, 1)
    assert await scene.posterior(numbers[0]) == {(THOMPSON, numbers[0], _HOUR): (1, 500_000)}
    assert await scene.posterior(numbers[1]) == {}
    assert await scene.posterior(numbers[2]) == {(THOMPSON, numbers[2], _HOUR): (1, 0)}


async def test_quarantined_entry_may_come_again(scene: Scene) -> None:
    await scene.stores.ledger.quarantine("1-0", "malformed", b"\x00\xff", START_MS)
    await scene.stores.ledger.quarantine("1-0", "malformed again", b"\x00\xff", START_MS)
    assert await scene.posterior() == {}
