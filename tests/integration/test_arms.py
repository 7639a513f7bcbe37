"""Arms that come, pause, go and start warm: what is published of them, and what the past says of them."""

from collections.abc import AsyncIterator
from random import Random

import asyncpg
import pytest

from pullarm.domain.arms import Stated, moved, restated
from pullarm.domain.assignment import MICRO
from pullarm.domain.decision import Token
from pullarm.domain.experiment import Arm, ArmStatus, Catalogue, Experiment
from pullarm.domain.publication import Published
from pullarm.storage.postgres import PostgresExperiments, PostgresHistory, PostgresPublications
from pullarm.storage.postgres.export import PostgresExport
from tests.builders import FixedClock
from tests.ledger_events import START_MS, Event, rearmed
from tests.publishing import Scene, publishing
from tests.services import execute
from workers.publisher import Publisher

WARM = Stated(arm_id="warm", prior_serves_micro=20 * MICRO, prior_rewards_micro=5 * MICRO)


@pytest.fixture
async def scene(database_url: str, redis_url: str) -> AsyncIterator[Scene]:
    async with publishing(database_url, redis_url) as scene:
        yield scene


async def change(scene: Scene, key: str, arms: tuple[Arm, ...]) -> Experiment:
    found = await scene.experiments.get(key)
    return await scene.experiments.revise(found, rearmed(found, arms), START_MS)


async def state(scene: Scene, key: str, *stated: Stated) -> Experiment:
    found = await scene.experiments.get(key)
    return await change(scene, key, restated(found.arms, stated, found.spec))


async def test_warm_start_is_published_and_never_in_the_ledger(scene: Scene) -> None:
    experiment = await scene.running("warm")
    number = experiment.number
    await scene.rewarded(number, arm=1, count=3)
    await scene.publisher.publish_due()
    await state(scene, "warm", WARM)
    await scene.publisher.publish_due()
    difference = scene.board.handed[-1]
    assert (difference.complete, len(difference.cells)) == (False, 4)
    assert await scene.on_board(number) == [(3, 3), (0, 0), (20, 5)]
    await scene.rewarded(number, arm=3, count=2)
    await scene.publisher.publish_due()
    assert await scene.on_board(number) == [(3, 3), (0, 0), (22, 7)]
    await scene.another_publisher().publish_due()
    await scene.redis.flushdb()
    await scene.publisher.audit()
    assert scene.board.handed[-1].complete
    assert await scene.on_board(number) == [(3, 3), (0, 0), (22, 7)]
    served = await scene.served(number)
    assert served.arms.rows["warm"] == 2
    past = PostgresHistory(scene.database)
    assert await past.posterior(number, 2) == {(2, 1): (3, 3 * MICRO), (2, 3): (2, 2 * MICRO)}


async def test_next_version_starts_from_its_own_counts(scene: Scene) -> None:
    number = (await scene.running("next")).number
    await scene.rewarded(number, arm=2, count=4)
    await state(scene, "next", Stated(arm_id="two", payload_hash="1"))
    await scene.publisher.publish_due()
    changed = Stated(arm_id="two", payload_hash="2", prior_serves_micro=MICRO)
    await state(scene, "next", changed)
    await scene.rewarded(number, arm=2)  # of the version before, shown a moment ago
    await scene.publisher.publish_due()
    await scene.publisher.audit()
    assert await scene.on_board(number) == [(0, 0), (5, 5), (1, 0)]
    served = await scene.served(number)
    assert (served.arms.ids, served.arms.rows) == (("one", "two", "two"), {"one": 0, "two": 2})


async def test_every_publication_is_explained_with_its_arms_as_they_were(scene: Scene) -> None:
    """Through random changes of arms and folds between them, from checkpoints a few folds apart."""
    random, history = Random(5), PostgresHistory(scene.database)
    publications = PostgresPublications(scene.database, checkpoint_folds=3)
    publisher = Publisher(publications, scene.board, FixedClock())
    number = (await scene.running("moving", Catalogue.OPEN)).number
    names = [f"arm-{n}" for n in range(6)]
    seen: list[Published] = []
    for step in range(50):
        found = await scene.experiments.get("moving")
        name = random.choice(names)
        live = [arm.arm_id for arm in found.live()]
        if name in live and step % 3:
            moves = [ArmStatus.PAUSED, ArmStatus.ACTIVE, ArmStatus.RETIRED]
            arms = moved(found.arms, name, random.choice(moves))
        else:
            serves = random.choice([0, 7 * MICRO])
            stated = Stated(arm_id=name, payload_hash=f"{step}", prior_serves_micro=serves)
            fresh = name not in live
            arms = restated(found.arms, [stated], found.spec) if fresh or serves else found.arms
        if step % 10 == 4:
            await scene.experiments.register_arms(number, [f"found-{step}"], START_MS)
        elif arms != found.arms:
            await change(scene, "moving", arms)
        tokens: list[Token] = [
            scene.make.token(number, arms=[random.randint(1, len(found.arms) or 1)])
            for _ in range(5)
        ]
        events: list[Event] = [scene.make.decision(token) for token in tokens]
        await scene.fold(*events, *map(scene.make.reward, tokens[:3]))
        await publisher.publish_due()
        read = await scene.board.read(number, None)
        assert read is not None
        seen.append(read)
    said = {arm.status for read in seen if read.experiment for arm in read.experiment.arms}
    assert said == set(ArmStatus)
    for read in seen:
        then = await history.published(number, read.head.pub_no)
        assert (then.head, then.posteriors) == (read.head, read.posteriors)
        assert then.experiment == read.experiment


async def test_log_has_the_arms_that_were_offered(scene: Scene) -> None:
    found = await scene.running("log")
    number = found.number
    decisions = []
    for name, status in (("one", ArmStatus.PAUSED), ("one", ArmStatus.ACTIVE)):
        decisions.append((found.config_no, len(found.active())))
        found = await change(scene, "log", moved(found.arms, name, status))
    decisions.append((found.config_no, 2))
    found = await state(scene, "log", Stated(arm_id="three", status=ArmStatus.PAUSED))
    decisions.append((found.config_no, 2))
    found = await change(scene, "log", moved(found.arms, "two", ArmStatus.RETIRED))
    decisions.append((found.config_no, 1))
    decisions[1] = (decisions[1][0], 1)
    for at, (config_no, count) in enumerate(decisions):
        token = scene.make.token(number, at_ms=START_MS + at)
        logged = scene.make.decision(token)
        await scene.fold(
            logged._replace(config_no=config_no, candidates=b"", all_arms=count, withheld=at)
        )
    export = PostgresExport(scene.database, page_decisions=2)
    pages = export.pages(found, [])
    offered = [numbers async for page in pages for numbers in page["candidate_nos"].to_pylist()]
    assert offered == [[1, 2], [2], [1, 2], [1, 2], [1]]


async def test_database_refuses_two_versions_that_may_be_shown(
    scene: Scene, database_url: str
) -> None:
    await scene.running("twice")
    add = "INSERT INTO arm SELECT experiment_id, 3, arm_id, label, 1, {version} FROM arm WHERE arm_no = 1"
    for version in (1, 2):
        with pytest.raises(asyncpg.UniqueViolationError):
            await execute(database_url, add.format(version=version))
    found = await PostgresExperiments(scene.database).get("twice")
    assert [arm.arm_id for arm in found.arms] == ["one", "two"]
