"""Posteriors weighted by hour are published as reckoned by hand from the ledger's hours, and when their time comes."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from fractions import Fraction
from random import Random

import pytest

from pullarm.domain.assignment import MICRO
from pullarm.domain.audit import Author
from pullarm.domain.experiment import POLICY_NUMBERS, Catalogue, Learning, State
from pullarm.domain.rebuild import Exclusion
from pullarm.storage.postgres import PostgresHistory, PostgresLedger, PostgresRepair
from pullarm.storage.postgres.times import at
from tests.ledger_events import HOUR_MS, START_MS, THOMPSON, Event
from tests.publishing import Scene, publishing
from tests.weighted import (
    ALL,
    AT_CLOSE,
    HALVED,
    MINUTE_MS,
    WEIGHTED,
    pairs,
    published,
    running,
    some_days,
)

START_HOUR = START_MS // HOUR_MS

Reference = Callable[[float], tuple[float, float]]
"""The age in hours of an hour of decision -> what its rewards and its pending serves count."""


@pytest.fixture
async def scene(database_url: str, redis_url: str) -> AsyncIterator[Scene]:
    async with publishing(database_url, redis_url) as scene:
        yield scene


async def reckoned(scene: Scene, number: int, weight: Reference) -> list[tuple[float, float]]:
    """Thompson's (serves, rewards) by arm from the ledger's hours, in doubles."""
    now_hour = scene.clock.now_ms // HOUR_MS
    found = [[0.0, 0.0], [0.0, 0.0]]
    ledger = await PostgresLedger(scene.database).posterior(number)
    for (_, arm, hour), (n, s) in ledger.items():
        settled, pending = weight(now_hour - hour)
        rewards = s / MICRO
        found[arm - 1][0] += settled * rewards + pending * (n - rewards)
        found[arm - 1][1] += settled * rewards
    return [(serves, rewards) for serves, rewards in found]


def halved(age: float) -> tuple[float, float]:
    return (0.5 ** (age / 6.0),) * 2


def closed(age: float) -> tuple[float, float]:
    """The hour ends one hour after its beginning, and its window three hours later."""
    return (1.0, 1.0) if age >= 4.0 else (0.0, 0.0)


def reached(age: float) -> tuple[float, float]:
    """Delays even over two hours, in the step that ends five minutes past the hour."""
    times = [
        max(0.0, age - 1 + 1 / 12 + i / 1000) for i in range(1000) if age + i / 1000 >= 11 / 12
    ]
    return 1.0, sum(min(1.0, time / 2) for time in times) / len(times)


@pytest.mark.parametrize(
    ("learning", "weight", "within"),
    [(HALVED, halved, 1e-5), (AT_CLOSE, closed, 1e-9), (WEIGHTED, reached, 0.02)],
)
async def test_hours_count_as_configured(
    scene: Scene, learning: Learning, weight: Reference, within: float
) -> None:
    """Against a reference in doubles; a delay distribution is estimated, here from some 300 rewards."""
    experiment = await running(scene, learning)
    await some_days(scene, experiment.number, Random(3), hours=72)
    scene.clock.now_ms = START_MS + 72 * HOUR_MS
    await scene.publisher.publish_due()
    expected = await reckoned(scene, experiment.number, weight)
    found = [(n / MICRO, s / MICRO) for n, s in await pairs(scene, experiment.number)]
    for arm in (0, 1):
        assert found[arm] == pytest.approx(expected[arm], rel=within)
    whole = await reckoned(scene, experiment.number, lambda age: (1.0, 1.0))
    assert found[0][0] < whole[0][0] - 5.0
    assert await PostgresLedger(scene.database).verify(experiment.number) == []


async def test_cell_is_the_exact_weighted_sum_of_its_hours(scene: Scene) -> None:
    """In fractions, with the weights as they are kept: whole publications and differences alike."""
    experiment = await running(scene, ALL)
    number, history = experiment.number, PostgresHistory(scene.database)
    await some_days(scene, number, Random(4), hours=40)
    scene.clock.now_ms = START_MS + 40 * HOUR_MS + 59 * MINUTE_MS
    await scene.publisher.publish_due()
    for beyond in (
        -90 * HOUR_MS,
        0,
        61 * MINUTE_MS,
    ):  # an hour far back, the present, and one that has not begun
        token = scene.make.token(number, at_ms=scene.clock.now_ms + beyond)
        await scene.fold(scene.make.decision(token), scene.make.reward(token, credit=0.123457))
        await scene.publisher.publish_due()
        weighting = (await history.published(number, len(scene.board.handed))).weighting
        assert weighting is not None
        exact = [[Fraction(0), Fraction(0)], [Fraction(0), Fraction(0)]]
        ledger = await PostgresLedger(scene.database).posterior(number)
        for (_, arm, hour), (n, s) in ledger.items():
            *_, settled, pending = max(point for point in weighting.points if point.hour <= hour)
            exact[arm - 1][0] += Fraction(pending * (n * MICRO - s), MICRO)
            exact[arm - 1][1] += Fraction(settled * s, MICRO)
        for (serves, rewards), (failures, successes) in zip(
            await pairs(scene, number), exact, strict=True
        ):
            assert abs(rewards - successes) <= Fraction(1, 2)
            assert abs(serves - rewards - failures) <= Fraction(1, 2)
    assert [p.complete for p in scene.board.handed] == [True, False, False, False]


async def test_delays_are_those_of_rewards_that_count_in_the_experiment(scene: Scene) -> None:
    """Its rewards take 90 minutes. Those of another experiment come at once, as do its own that are retracted, worth
    nothing, of a slot that is not learned from, or left out by a rebuild."""
    make, experiment = scene.make, await running(scene, WEIGHTED)
    other = await running(scene, WEIGHTED, "b")
    events: list[Event] = []
    for hour in range(60):
        at_ms = START_MS + hour * HOUR_MS
        slow, retracted, nothing, second = (
            make.token(experiment.number, at_ms=at_ms, arms=[1, 2]) for _ in range(4)
        )
        quick = make.token(other.number, at_ms=at_ms)
        events += map(make.decision, (slow, retracted, nothing, second, quick))
        events += [
            make.reward(slow, after_ms=90 * MINUTE_MS),
            make.reward(slow, after_ms=0, source="bot", reward_id="x"),
            make.reward(retracted, after_ms=0),
            make.reward(retracted, after_ms=1, retract=True),
            make.reward(nothing, credit=0.0, after_ms=0),
            make.reward(second, slot=2, after_ms=0),
            make.reward(quick, after_ms=0),
        ]
    await scene.fold(*events)
    scene.clock.now_ms = START_MS + 70 * HOUR_MS
    repair, author = PostgresRepair(scene.database), Author("somebody", "test")
    await repair.rebuild(experiment.number, Exclusion(source="bot"), author, at(scene.clock.now_ms))
    await scene.publisher.publish_due()
    history, shares = PostgresHistory(scene.database), {}
    for number in (experiment.number, other.number):
        weighting = (await history.published(number, 1)).weighting
        assert weighting is not None
        shares[number] = [weighting.at(START_HOUR + hour).pending for hour in (67, 68, 69, 70)]
    # Hours are 125 to 185, 65 to 125, 5 to 65 and 0 to 5 minutes old when the step ends.
    assert shares == {
        experiment.number: [MICRO, round(35 / 60 * MICRO), 0, 0],
        other.number: [MICRO] * 4,
    }


async def test_next_step_is_published_by_time_alone_and_whole(scene: Scene) -> None:
    """By the hour where a half-life weighs, after five minutes where delays do; never where nothing is weighted."""
    learnings = {"a": Learning(), "b": HALVED, "c": WEIGHTED}
    numbers = {key: (await running(scene, how, key)).number for key, how in learnings.items()}
    for number in numbers.values():
        await scene.rewarded(number, count=64)
    await scene.publisher.publish_due()
    await scene.publisher.audit()
    seen: dict[str, list[int]] = {key: [] for key in numbers}
    for minute in range(125):
        scene.clock.now_ms = START_MS + minute * MINUTE_MS
        scene.board.handed.clear()
        await scene.publisher.publish_due()
        for publication in scene.board.handed:
            assert publication.complete
            seen[publication.experiment.key].append(minute)
    steps = list(range(5, 125, 5))
    assert seen == {"a": [], "b": [60, 120], "c": steps[: len(seen["c"])]}
    assert len(seen["c"]) > 10
    assert await scene.on_board(numbers["a"]) == [(64, 64), (0, 0)]
    hours_old = 0.5 ** (2 / 6) * 64 * MICRO
    assert (await pairs(scene, numbers["b"]))[0] == pytest.approx((hours_old, hours_old), abs=64)


async def test_between_steps_only_what_changed_is_published(scene: Scene) -> None:
    number = (await running(scene, HALVED)).number
    await scene.rewarded(number, arm=1)
    await scene.rewarded(number, arm=2)
    await scene.publisher.publish_due()
    scene.clock.now_ms += 59 * MINUTE_MS
    await scene.rewarded(number, arm=2)
    await scene.publisher.publish_due()
    scene.clock.now_ms += MINUTE_MS
    await scene.rewarded(number, arm=2)
    await scene.publisher.publish_due()
    first, difference, last = scene.board.handed
    assert (first.complete, difference.complete, last.complete) == (True, False, True)
    assert difference.cells == [(THOMPSON, 2, 2 * MICRO, 2 * MICRO)]
    once = round(0.5 ** (1 / 6) * MICRO)
    assert last.cells == [(THOMPSON, 1, once, once), (THOMPSON, 2, 3 * once, 3 * once)]


async def test_steps_are_published_until_all_is_known_and_then_no_more(scene: Scene) -> None:
    """Every five minutes while decisions pend that rewards may come for; what comes next is weighted anew."""
    experiment = await running(scene, WEIGHTED)
    number, history = experiment.number, PostgresHistory(scene.database)
    await some_days(scene, number, Random(9), hours=30)
    minutes = []
    for minute in range(0, 500, 5):
        scene.clock.now_ms = START_MS + 30 * HOUR_MS + minute * MINUTE_MS
        before = len(scene.board.handed)
        await scene.publisher.publish_due()
        minutes += [minute] * (len(scene.board.handed) - before)
    last = minutes[-1]
    assert minutes == list(range(0, last + 5, 5))
    assert 60 < last <= (3 + 1 + 2) * 60  # window, grace, and the hour that it all is counted by
    ledger = await PostgresLedger(scene.database).posterior(number)
    assert [n for n, _ in await pairs(scene, number)] == [
        MICRO * sum(n for (_, arm, _), (n, _) in ledger.items() if arm == each) for each in (1, 2)
    ]
    await scene.fold(scene.make.decision(scene.make.token(number, at_ms=scene.clock.now_ms)))
    await scene.publisher.publish_due()
    assert scene.board.handed[-1].complete
    newest = (await history.published(number, len(scene.board.handed))).weighting
    assert newest is not None
    assert newest.at(scene.clock.now_ms // HOUR_MS).pending < MICRO


async def test_only_what_weighs_weighs_anew(scene: Scene) -> None:
    """Not another share of traffic, nor an arm, which is published whole."""
    experiment = await running(scene, HALVED)
    number, history = experiment.number, PostgresHistory(scene.database)
    await scene.rewarded(number)
    await scene.publisher.publish_due()
    weighed = [1]
    calmer = await scene.revise(experiment, replace(experiment.spec, traffic_pct=0.5))
    longer = replace(calmer.spec, reward=replace(calmer.spec.reward, window_hours=4.0))
    for change, complete in ((None, False), (longer, True), (None, False)):
        if change is not None:
            calmer = await scene.revise(calmer, change)
        await scene.rewarded(number)
        await scene.publisher.publish_due()
        found = await history.published(number, len(scene.board.handed))
        assert scene.board.handed[-1].complete is complete
        assert found.weighting is not None
        weighed.append(found.weighting.number)
        assert found.posteriors == (await published(scene, number)).posteriors
    assert weighed == [1, 1, 2, 2]


async def test_new_arm_is_published_whole_under_the_same_weights(scene: Scene) -> None:
    experiment = await scene.running("a", Catalogue.OPEN)
    number, history = experiment.number, PostgresHistory(scene.database)
    await scene.revise(experiment, replace(experiment.spec, learning=HALVED))
    for arms in (["one"], ["two", "three"]):
        await scene.experiments.register_arms(number, arms, START_MS)
        await scene.rewarded(number, arm=3)
        await scene.publisher.publish_due()
        found = await history.published(number, len(scene.board.handed))
        assert scene.board.handed[-1].complete
        assert found.weighting is not None
        assert found.weighting.number == 1
        assert found.posteriors == (await published(scene, number)).posteriors
    assert (await pairs(scene, number))[2] == (2 * MICRO, 2 * MICRO)


async def test_delays_are_learned_anew_with_a_rebuild(scene: Scene) -> None:
    """Without the rewards that it leaves out, at once and not with the next step."""
    experiment = await running(scene, WEIGHTED)
    number, history = experiment.number, PostgresHistory(scene.database)
    await some_days(scene, number, Random(9), hours=30)
    scene.clock.now_ms = START_MS + 30 * HOUR_MS
    await scene.publisher.publish_due()
    everything = Exclusion(from_at=at(START_MS), to_at=at(START_MS + 29 * HOUR_MS))
    author = Author("somebody", "test", "")
    await PostgresRepair(scene.database).rebuild(number, everything, author, at(START_MS))
    await scene.publisher.publish_due()
    first, second = [(await history.published(number, pub_no)).weighting for pub_no in (1, 2)]
    assert first is not None
    assert second is not None
    assert second.number == 2
    hour = START_HOUR + 29
    assert first.at(hour).pending < second.at(hour).pending == MICRO  # too few are left to tell
    assert (first.as_of_ms, first.until_ms) == (second.as_of_ms, second.until_ms)


async def test_time_passes_for_nobody_where_nothing_learns(scene: Scene) -> None:
    experiment = await running(scene, HALVED)
    await scene.rewarded(experiment.number)
    stopped = await scene.revise(experiment, experiment.spec, State.STOPPED)
    await scene.publisher.publish_due()
    scene.clock.now_ms += 5 * HOUR_MS
    await scene.publisher.publish_due()
    assert len(scene.board.handed) == 1
    await scene.revise(stopped, stopped.spec, State.SHIPPED)
    await scene.publisher.publish_due()
    scene.clock.now_ms += HOUR_MS
    await scene.publisher.publish_due()
    assert len(scene.board.handed) == 3


async def test_serves_of_ucb_count_at_once_whatever_pends(scene: Scene) -> None:
    """Else it would serve an arm that does not count yet, and no other, until the window of the first serve closes."""
    number = (await running(scene, AT_CLOSE)).number
    for acting in (THOMPSON, POLICY_NUMBERS["ucb"]):
        token = scene.make.token(number, acting=acting)
        await scene.fold(scene.make.decision(token))
    await scene.publisher.publish_due()
    assert (await pairs(scene, number))[0] == (0, 0)
    assert (await pairs(scene, number, POLICY_NUMBERS["ucb"]))[0] == (MICRO, 0)


async def test_change_of_learning_is_published_whole_and_starts_no_epoch(scene: Scene) -> None:
    experiment = await running(scene, AT_CLOSE)
    number = experiment.number
    await scene.rewarded(number)
    await scene.publisher.publish_due()
    assert await scene.on_board(number) == [(0, 0), (0, 0)]
    for learning, serves in ((Learning(), 1), (AT_CLOSE, 0), (Learning(), 1)):
        experiment = await scene.revise(experiment, replace(experiment.spec, learning=learning))
        await scene.publisher.publish_due()
        assert await scene.on_board(number) == [(serves, serves), (0, 0)]
        assert scene.board.handed[-1].complete
    assert experiment.allocation_epoch == 1


async def test_another_publisher_goes_on_with_the_weights_of_the_step(scene: Scene) -> None:
    """Whichever process publishes, and however its clock runs behind."""
    number, history = (await running(scene, ALL)).number, PostgresHistory(scene.database)
    await some_days(scene, number, Random(6), hours=30)
    scene.clock.now_ms = START_MS + 30 * HOUR_MS
    await scene.publisher.publish_due()
    scene.clock.now_ms -= 30_000
    other = scene.another_publisher()
    await scene.rewarded(number)
    await other.publish_due()
    weightings = [(await history.published(number, pub_no)).weighting for pub_no in (1, 2)]
    assert weightings[0] == weightings[1]
    assert weightings[0] is not None
    assert weightings[0].number == 1
    assert weightings[0].as_of_ms == START_MS + 30 * HOUR_MS
