"""What the ledger gives back of a decision and of a publication is what serving logged and read."""

from collections.abc import AsyncIterator
from dataclasses import replace
from random import Random

import pytest

from pullarm.domain.decision import Reward, Token
from pullarm.domain.errors import NotFound
from pullarm.domain.experiment import Catalogue, State
from pullarm.domain.publication import Published
from pullarm.storage.postgres import PostgresHistory
from tests.ledger_events import START_MS, Event
from tests.publishing import Scene, publishing


@pytest.fixture
async def scene(database_url: str, redis_url: str) -> AsyncIterator[Scene]:
    async with publishing(database_url, redis_url) as scene:
        yield scene


async def test_every_publication_is_what_serving_read(scene: Scene) -> None:
    """Through folds of all kinds, changed traffic, new arms and a stop; vectors, grid and configuration."""
    random, history = Random(8), PostgresHistory(scene.database)
    experiment = await scene.running("moving", Catalogue.OPEN)
    number = experiment.number
    tokens: list[Token] = []
    seen: list[Published] = []
    for step in range(40):
        if step % 10 == 3:
            await scene.experiments.register_arms(number, [f"arm-{step}"], START_MS)
        if step % 10 == 6:
            found = await scene.experiments.get("moving")
            state = State.STOPPED if step == 36 else State.RUNNING
            spec = replace(found.spec, traffic_pct=step / 100)
            await scene.revise(found, spec, state)
        tokens += [scene.make.token(number, arms=[random.randint(1, 4)]) for _ in range(30)]
        events: list[Event] = [scene.make.decision(token) for token in tokens[-30:]]
        events += [
            scene.make.reward(token, credit=random.random()) for token in random.sample(tokens, 9)
        ]
        events += random.sample(tokens, 2)
        await scene.fold(*events)
        await scene.publisher.publish_due()
        read = await scene.board.read(number, None)
        assert read is not None
        seen.append(read)
    assert len({read.head.grid_no for read in seen}) > 1
    for read in seen:
        then = await history.published(number, read.head.pub_no)
        assert (then.head, then.posteriors, then.grid) == (read.head, read.posteriors, read.grid)
        assert read.experiment is not None
        assert then.experiment is not None
        ended = read.experiment.end_at
        assert replace(then.experiment, end_at=ended) == read.experiment
        assert then.halt == (State.STOPPED if read.experiment.state is State.RUNNING else None)


async def test_decision_comes_back_as_it_was_logged(scene: Scene) -> None:
    history = PostgresHistory(scene.database)
    number = (await scene.running("logged")).number
    token = scene.make.token(number, arms=[2, 1])
    decision = scene.make.decision(token)._replace(
        candidates=b"",
        attributes={"ä": "ö"},
        request_id="again",
        unlisted=3,
        all_arms=17,
        withheld=2,
    )
    rewards = [scene.make.reward(token, credit=0.25, after_ms=9), scene.make.reward(token)]
    await scene.fold(decision, *rewards)
    assert await history.logged(token.uid) == (token, decision, False, tuple(rewards), False)
    await scene.fold(token)
    assert (await history.logged(token.uid)).voided
    hashed = scene.make.decision(scene.make.token(number))._replace(
        candidates=b"", candidates_hash=-5
    )
    await scene.fold(hashed)
    assert (await history.logged(hashed.token.uid)).decision == hashed


async def test_decision_whose_reward_came_first(scene: Scene) -> None:
    history = PostgresHistory(scene.database)
    token = scene.make.token((await scene.running("early")).number)
    reward: Reward = scene.make.reward(token)
    await scene.fold(reward)
    assert await history.logged(token.uid) == (token, None, False, (reward,), False)
    decision = scene.make.decision(token)._replace(all_arms=2)
    await scene.fold(decision)
    assert await history.logged(token.uid) == (token, decision, False, (reward,), False)


async def test_what_is_not_there_is_told(scene: Scene) -> None:
    history = PostgresHistory(scene.database)
    number = (await scene.running("empty")).number
    with pytest.raises(NotFound, match="once a worker has folded it"):
        await history.logged(bytes(16))
    with pytest.raises(NotFound, match=f"no publication 9 of experiment {number}"):
        await history.published(number, 9)
