"""Where exposure is to be confirmed, a decision counts with the first reward that counts, whatever its kind."""

import pytest

from pullarm.domain.assignment import MICRO
from pullarm.domain.decision import RewardStatus
from pullarm.domain.experiment import SHOWN, Exposure
from tests.contract.conftest import Stores
from tests.contract.test_ledger import Scene
from tests.ledger_events import START_MS, THOMPSON, Event, draft


@pytest.fixture
async def scene(stores: Stores) -> Scene:
    new = draft("prefetching", exposure=Exposure.CONFIRMED)
    created = await stores.experiments.create(new, START_MS)
    return Scene(stores, {new.spec.reward.aggregation: created.number})


async def test_decision_alone_is_no_serve(scene: Scene) -> None:
    await scene.fold(scene.make.decision(scene.make.token(scene.first)))
    assert await scene.posterior() == {}
    assert await scene.stores.ledger.verify(scene.first) == []


async def test_shown_makes_it_a_serve_once(scene: Scene) -> None:
    token = scene.make.token(scene.first)
    shown = scene.make.reward(token, kind=SHOWN, feeds=False)
    again = scene.make.reward(token, kind=SHOWN, feeds=False, after_ms=1)
    events: list[Event] = [scene.make.decision(token), shown, again]
    await scene.in_every_order(scene.first, events, (1, 0))


async def test_reward_says_that_it_was_shown(scene: Scene) -> None:
    token = scene.make.token(scene.first)
    events: list[Event] = [
        scene.make.decision(token),
        scene.make.reward(token, credit=0.4),
        scene.make.reward(token, kind=SHOWN, feeds=False),
    ]
    await scene.in_every_order(scene.first, events, (1, 400_000))


async def test_what_does_not_count_confirms_nothing(scene: Scene) -> None:
    token = scene.make.token(scene.first)
    late = scene.make.reward(token, kind=SHOWN, feeds=False, status=RewardStatus.LATE)
    await scene.fold(scene.make.decision(token), late)
    assert await scene.posterior() == {}


async def test_retraction_and_void_take_the_serve_back(scene: Scene) -> None:
    token = scene.make.token(scene.first)
    shown = scene.make.reward(token, kind=SHOWN, feeds=False, reward_id="a")
    taken = scene.make.reward(token, kind=SHOWN, feeds=False, reward_id="a", retract=True)
    await scene.fold(shown)
    assert [*(await scene.posterior()).values()] == [(1, 0)]
    await scene.fold(taken)
    assert {*(await scene.posterior()).values()} <= {(0, 0)}

    other = scene.make.token(scene.first)
    await scene.fold(scene.make.reward(other))
    assert (1, MICRO) in (await scene.posterior()).values()
    await scene.fold(other)
    assert {*(await scene.posterior()).values()} <= {(0, 0)}
    assert await scene.stores.ledger.verify(scene.first) == []


async def test_summary_counts_what_was_confirmed(scene: Scene) -> None:
    tokens = [scene.make.token(scene.first)._replace(assigned=THOMPSON) for _ in range(4)]
    await scene.fold(*map(scene.make.decision, tokens))
    await scene.fold(
        scene.make.reward(tokens[0]),
        scene.make.reward(tokens[1], kind=SHOWN, feeds=False),
        scene.make.reward(tokens[2], kind=SHOWN, feeds=False),
        tokens[2],
    )
    experiment = await scene.stores.experiments.get("prefetching")
    await scene.stores.settle(scene.first)
    summary = await scene.stores.summaries.of(experiment)
    figures = summary.policies["thompson"]
    assert (figures.serves, figures.rewards, figures.rate) == (2, 1, 0.5)
    assert (summary.decisions, summary.voided) == (4, {"thompson": 1})
