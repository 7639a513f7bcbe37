"""What is folded and configured reaches serving, by itself and whole, whatever happens to the board."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from itertools import count
from random import Random
from typing import cast

import pytest

from pullarm.domain.errors import Unavailable
from pullarm.domain.experiment import Catalogue, State
from pullarm.storage.postgres import Database, PostgresPublications
from pullarm.storage.redis import keys
from serving.refresher import Refresher
from tests.builders import FixedClock
from tests.ledger_events import START_MS
from tests.publishing import Scene, calmest, publishing, until_served
from tests.services import execute
from workers import publisher as module
from workers.publisher import Publisher


@pytest.fixture
async def scene(database_url: str, redis_url: str) -> AsyncIterator[Scene]:
    async with publishing(database_url, redis_url) as scene:
        yield scene


async def test_reward_is_in_the_serving_snapshot_within_a_second(scene: Scene) -> None:
    experiment, serves = await scene.running("a"), 0
    async with scene.at_work():
        await until_served(scene, experiment.number, 0)

        async def learn() -> float:
            nonlocal serves
            serves += 1
            await scene.rewarded(experiment.number)
            return await until_served(scene, experiment.number, serves)

        assert await calmest(learn, 5) < 1.0
    assert await scene.on_board(experiment.number) == [(serves, serves), (0, 0)]


async def test_new_experiment_is_served_without_waiting_for_the_audit(scene: Scene) -> None:
    keys = (f"key-{n}" for n in count())

    async def begin() -> float:
        experiment = await scene.running(next(keys))
        return await until_served(scene, experiment.number, 0)

    async with scene.at_work():
        assert await calmest(begin, 3) < 1.0


async def test_first_publication_is_whole_and_the_next_are_differences(scene: Scene) -> None:
    number = (await scene.running("a")).number
    await scene.rewarded(number, count=3)
    await scene.publisher.publish_due()
    await scene.publisher.audit()
    for _ in range(2):
        await scene.rewarded(number, arm=2)
        await scene.publisher.publish_due()
    await scene.publisher.publish_due()
    await scene.publisher.audit()
    assert [(p.complete, p.head.pub_no, len(p.cells)) for p in scene.board.handed] == [
        (True, 1, 1),
        (False, 2, 1),
        (False, 3, 1),
    ]
    assert await scene.on_board(number) == [(3, 3), (2, 2)]
    assert (await scene.served(number)).head.pub_no == 3


async def test_difference_the_board_cannot_take_becomes_a_whole_publication(scene: Scene) -> None:
    number = (await scene.running("a")).number
    await scene.publisher.publish_due()
    await scene.redis.flushdb()
    await scene.rewarded(number)
    await scene.publisher.publish_due()
    assert [p.complete for p in scene.board.handed] == [True, False, True]
    assert await scene.on_board(number) == [(1, 1), (0, 0)]
    assert (await scene.board.versions([number]))[number].pub_no == 3


async def test_publication_that_never_reached_the_board_is_made_good(scene: Scene) -> None:
    number = (await scene.running("a")).number
    await scene.publisher.publish_due()
    await scene.rewarded(number)
    scene.board.away = True
    with pytest.raises(Unavailable):
        await scene.publisher.publish_due()
    scene.board.away = False
    await scene.publisher.audit()
    assert await scene.on_board(number) == [(1, 1), (0, 0)]
    assert scene.board.handed[-1].complete


async def test_emptied_board_gets_everything_back_and_the_marker_last(scene: Scene) -> None:
    first, second = await scene.running("a"), await scene.running("b")
    await scene.rewarded(first.number, count=40)
    await scene.publisher.publish_due()
    await scene.publisher.audit()
    before = {e.number: await scene.served(e.number) for e in (first, second)}
    await scene.redis.flushdb()
    await scene.publisher.publish_due()
    assert not (await scene.board.index()).complete
    await scene.publisher.audit()
    index = await scene.board.index()
    assert (index.complete, index.experiments) == (True, (first.number, second.number))
    fresh = Refresher(scene.board)
    await fresh.refresh()
    assert fresh.refused == 0
    for number, was in before.items():
        served = fresh.snapshot.by_number[number]
        assert served.experiment == was.experiment
        assert served.head.incarnation == was.head.incarnation
        assert served.head.pub_no > was.head.pub_no
        assert served.grid is not None
        assert was.grid is not None
        assert (served.grid.number, served.grid.to_bytes()) == (1, was.grid.to_bytes())
    assert await scene.on_board(first.number) == [(40, 40), (0, 0)]


async def test_experiment_that_cannot_be_published_is_told_once_and_holds_up_no_other(
    scene: Scene, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = await scene.running("a"), await scene.running("b")
    await scene.rewarded(broken.number)
    await execute(database_url, "UPDATE posterior SET s = 5000000")  # more reward than serves
    await scene.rewarded(sound.number)
    for _ in range(3):
        await scene.publisher.publish_due()
    assert await scene.on_board(sound.number) == [(1, 1), (0, 0)]
    assert (await scene.board.versions([broken.number]))[broken.number].pub_no == 0
    await scene.publisher.audit()
    index = await scene.board.index()
    assert (index.complete, index.experiments) == (True, (sound.number,))
    assert (await scene.served(sound.number)).head.pub_no > 0
    (told,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert f"experiment {broken.number} cannot be published" in told


async def test_stop_is_obeyed_on_a_board_that_was_emptied(scene: Scene) -> None:
    experiment = await scene.running("a")
    await scene.publisher.audit()
    await scene.revise(experiment, experiment.spec, State.STOPPED)
    await scene.publisher.publish_due()
    await scene.redis.flushdb()
    await scene.publisher.audit()
    published = await scene.board.read(experiment.number, None)
    assert published is not None
    assert published.halt is State.STOPPED


async def test_corrupt_marker_is_no_marker_until_the_audit_writes_it_anew(scene: Scene) -> None:
    await scene.running("a")
    await scene.publisher.audit()
    await scene.redis.set(keys.COMPLETE, b"\xc1 no msgpack")
    assert not (await scene.board.index()).complete
    await scene.publisher.audit()
    assert (await scene.board.index()).complete


async def test_marker_waits_for_an_experiment_that_another_process_is_publishing(
    scene: Scene,
) -> None:
    number = (await scene.running("a")).number
    async with PostgresPublications(scene.database).owning(number):
        await scene.publisher.audit()
        assert not (await scene.board.index()).complete
    await scene.publisher.audit()
    assert (await scene.board.index()).complete


async def test_board_beats_when_it_has_all_that_was_folded(scene: Scene) -> None:
    number = (await scene.running("a")).number
    await scene.publisher.audit()
    first = (await scene.board.index()).beat
    await scene.rewarded(number)
    scene.board.away = True
    with pytest.raises(Unavailable):
        await scene.publisher.publish_due()
    with pytest.raises(Unavailable):
        await scene.publisher.audit()
    assert (await scene.board.index()).beat == first
    scene.board.away = False
    await scene.publisher.audit()
    assert await scene.on_board(number) == [(1, 1), (0, 0)]
    assert (await scene.board.index()).beat == first + 1


async def test_board_does_not_beat_while_another_process_is_stuck_with_an_experiment(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.0)
    number = (await scene.running("a")).number
    await scene.publisher.audit()
    first = (await scene.board.index()).beat
    await scene.rewarded(number)
    async with PostgresPublications(scene.database).owning(number):
        await scene.publisher.publish_due()
        await scene.publisher.audit()
        assert (await scene.board.index()).beat == first
    await scene.publisher.publish_due()
    await scene.publisher.audit()
    assert (await scene.board.index()).beat == first + 1


@pytest.mark.parametrize("key", [keys.head, keys.config, keys.grid])
async def test_what_was_damaged_on_the_board_is_made_good(
    scene: Scene, key: Callable[[int], str]
) -> None:
    numbers = [(await scene.running(name)).number for name in "ab"]
    await scene.publisher.audit()
    await scene.redis.delete(key(numbers[1]))
    await cast("Awaitable[int]", scene.redis.rpush(key(numbers[1]), "a list"))
    for _ in numbers:  # one is read back at a time
        await scene.publisher.audit()
    published = await scene.board.read(numbers[1], None)
    assert published is not None
    assert published.head.pub_no == 2
    assert (await scene.board.versions(numbers))[numbers[0]].pub_no == 1


async def test_emptied_board_comes_back_by_itself(scene: Scene) -> None:
    number = (await scene.running("a")).number
    async with scene.at_work():
        await until_served(scene, number, 0)
        await scene.redis.flushdb()
        async with asyncio.timeout(60):
            while (await scene.served(number)).head.pub_no != 2:
                await asyncio.sleep(0.02)
        assert (await scene.board.index()).complete


async def test_marker_is_not_written_while_an_experiment_is_missing(scene: Scene) -> None:
    await scene.running("a")
    scene.board.away = True
    with pytest.raises(Unavailable):
        await scene.publisher.audit()
    assert not (await scene.board.index()).complete


async def test_new_incarnation_of_the_ledger_is_published_whole(
    scene: Scene, database_url: str
) -> None:
    number = (await scene.running("a")).number
    await scene.rewarded(number)
    await scene.publisher.publish_due()
    await scene.publisher.audit()
    first = await scene.served(number)
    await execute(database_url, "UPDATE ledger SET incarnation = gen_random_uuid()")
    await scene.publisher.audit()
    served = await scene.served(number)
    assert served.head.incarnation != first.head.incarnation
    assert (await scene.board.index()).incarnation == served.head.incarnation
    assert await scene.on_board(number) == [(1, 1), (0, 0)]


async def test_grid_stays_while_nothing_calls_for_a_new_one(scene: Scene) -> None:
    number = (await scene.running("a")).number
    await scene.rewarded(number, count=10)
    await scene.publisher.publish_due()
    for _ in range(5):
        await scene.rewarded(number, arm=2)
        await scene.publisher.publish_due()
    assert [p.head.grid_no for p in scene.board.handed] == [1] * 6
    assert [p.grid is not None for p in scene.board.handed] == [True] + [False] * 5


async def test_grid_follows_the_posterior_under_a_new_number(scene: Scene) -> None:
    number = (await scene.running("a")).number
    await scene.publisher.publish_due()
    await scene.publisher.audit()
    old = (await scene.served(number)).grid
    await scene.rewarded(number, count=3_000)
    await scene.publisher.publish_due()
    assert [p.head.grid_no for p in scene.board.handed] == [1, 2]
    new = (await scene.served(number)).grid
    assert old is not None
    assert new is not None
    assert len(new.points) != len(old.points) or (new.points != old.points).any()
    assert new.number == 2


async def test_publisher_that_starts_anew_keeps_the_grid_and_its_number(scene: Scene) -> None:
    number = (await scene.running("a")).number
    await scene.rewarded(number, count=3_000)
    await scene.publisher.publish_due()
    restarted = scene.another_publisher()
    await scene.rewarded(number)
    await restarted.publish_due()
    await scene.rewarded(number)
    await scene.publisher.publish_due()  # and the first one, whose knowledge is old
    first, *others = scene.board.handed
    assert [(p.complete, p.head.pub_no) for p in others] == [(True, 2), (True, 3)]
    assert {p.head.grid_no for p in scene.board.handed} == {first.head.grid_no}
    assert {p.grid for p in scene.board.handed} == {first.grid}


async def test_thompson_may_leave_and_come_back(scene: Scene) -> None:
    experiment = await scene.running("a")
    thompson, control = experiment.spec.policies
    await scene.publisher.publish_due()
    await scene.publisher.audit()
    for policies in ((control,), (thompson, control)):
        experiment = await scene.revise(experiment, replace(experiment.spec, policies=policies))
        await scene.rewarded(experiment.number, count=1_000)
        await scene.publisher.publish_due()
        served = await scene.served(experiment.number)
        assert len(served.policies) == len(policies)
    grids = {p.head.grid_no: p.grid for p in scene.board.handed if p.grid is not None}
    served = await scene.served(experiment.number)
    assert served.grid is not None
    assert grids[served.grid.number] == served.grid.to_bytes()


async def test_open_catalogue_is_served_before_and_after_its_first_arms(scene: Scene) -> None:
    experiment = await scene.running("a", Catalogue.OPEN)
    await scene.publisher.publish_due()
    await scene.publisher.audit()
    assert (await scene.served(experiment.number)).arms.ids == ()
    await scene.experiments.register_arms(experiment.number, ["x", "y"], START_MS)
    await scene.publisher.publish_due()
    assert (await scene.served(experiment.number)).arms.ids == ("x", "y")
    await scene.rewarded(experiment.number, arm=2)
    await scene.publisher.publish_due()
    assert await scene.on_board(experiment.number) == [(0, 0), (1, 1)]


async def test_racing_publishers_lose_nothing(scene: Scene, database_url: str) -> None:
    first, second = await scene.running("a"), await scene.running("b")
    random, total = Random(3), {first.number: 0, second.number: 0}
    async with Database(database_url) as other:
        rival = Publisher(PostgresPublications(other), scene.board, FixedClock())
        async with scene.at_work(scene.publisher, rival):
            for _ in range(30):
                number = random.choice([first.number, second.number])
                await scene.rewarded(number)
                total[number] += 1
                await asyncio.sleep(random.random() * 0.06)
            for number, count in total.items():
                await until_served(scene, number, count)
    for number, count in total.items():
        assert await scene.on_board(number) == [(count, count), (0, 0)]
        numbers = [p.head.pub_no for p in scene.board.handed if p.experiment.number == number]
        assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert scene.refresher.refused == 0
