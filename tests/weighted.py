"""Experiments whose hours are weighted when they are published."""

from dataclasses import replace
from random import Random
from struct import iter_unpack

from pullarm.domain.experiment import Delay, Experiment, Learning, RewardDefinition
from pullarm.domain.publication import Published
from tests.ledger_events import HOUR_MS, START_MS, THOMPSON, Event
from tests.publishing import Scene

MINUTE_MS = 60_000
WEIGHTED = Learning(delay=Delay.WEIGHTED)
HALVED = Learning(half_life_hours=6.0)
AT_CLOSE = Learning(delay=Delay.AT_CLOSE)
ALL = Learning(delay=Delay.WEIGHTED, half_life_hours=30.0)


async def running(scene: Scene, learning: Learning, key: str = "a") -> Experiment:
    """A running experiment with a window of three hours."""
    experiment = await scene.running(key)
    reward = RewardDefinition(window_hours=3.0)
    spec = replace(experiment.spec, learning=learning, reward=reward)
    return await scene.revise(experiment, spec)


async def published(scene: Scene, number: int) -> Published:
    found = await scene.board.read(number, None)
    assert found is not None
    return found


async def pairs(scene: Scene, number: int, policy: int = THOMPSON) -> list[tuple[int, int]]:
    """One policy's (serves, rewards) by arm, in millionths."""
    vector = (await published(scene, number)).posteriors[policy]
    return [(serves, rewards) for serves, rewards in iter_unpack("<qq", vector)]


async def some_days(scene: Scene, number: int, random: Random, hours: int) -> None:
    """Decisions for two arms in every hour from the start on, and a third of them rewarded within two hours."""
    events: list[Event] = []
    for _ in range(12 * hours):
        at_ms = START_MS + random.randrange(hours * HOUR_MS)
        token = scene.make.token(number, at_ms=at_ms, arms=[random.choice([1, 2])])
        events.append(scene.make.decision(token))
        delay_ms = random.randrange(2 * HOUR_MS)
        if random.random() < 0.33 and at_ms + delay_ms < START_MS + hours * HOUR_MS:
            credit = random.choice([1.0, 0.3])
            events.append(scene.make.reward(token, credit=credit, after_ms=delay_ms))
    await scene.fold(*events)
