"""A ledger put back to an earlier state: a new life, whose numbers are none that the lost time has given out."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from pullarm.domain.experiment import Experiment
from pullarm.storage.postgres import PostgresPublications
from pullarm.storage.postgres.incarnation import open_incarnation
from pullarm.storage.postgres.times import at
from tests.ledger_events import START_MS, draft
from tests.publishing import Scene, publishing

SKIPPED_NUMBERS = 100_000
SKIPPED_PUBLICATIONS = 1_000_000_000


@pytest.fixture
async def scene(database_url: str, redis_url: str) -> AsyncIterator[Scene]:
    async with publishing(database_url, redis_url) as scene:
        yield scene


async def reopen(scene: Scene, was: str) -> str | None:
    async with scene.database.transaction() as connection:
        return await open_incarnation(connection, was, at(START_MS))


async def test_new_life_skips_what_may_have_been_given_out_and_reaches_serving(
    scene: Scene,
) -> None:
    experiment = await scene.running("a")
    await scene.rewarded(experiment.number, count=2)
    await scene.publisher.publish_due()
    await scene.publisher.audit()
    before = await scene.served(experiment.number)
    opened = await reopen(scene, before.head.incarnation)
    assert opened == await PostgresPublications(scene.database).incarnation()
    await scene.publisher.publish_due()
    await scene.publisher.audit()
    after = await scene.served(experiment.number)
    assert after.head.incarnation == opened != before.head.incarnation
    assert after.head.pub_no > before.head.pub_no + SKIPPED_PUBLICATIONS
    assert after.head.config_no == before.head.config_no + SKIPPED_NUMBERS
    assert await scene.on_board(experiment.number) == [(2, 2), (0, 0)]
    await check_it_goes_on(scene, experiment)


async def check_it_goes_on(scene: Scene, experiment: Experiment) -> None:
    """It learns, can be changed, and later experiments are far off."""
    await scene.rewarded(experiment.number, arm=2)
    await scene.publisher.publish_due()
    assert await scene.on_board(experiment.number) == [(2, 2), (1, 1)]
    current = await scene.experiments.get(experiment.id)
    changed = await scene.revise(current, current.spec)
    assert changed.config_no == experiment.config_no + SKIPPED_NUMBERS + 1
    later = await scene.experiments.create(draft("later"), START_MS)
    assert later.number > experiment.number + SKIPPED_NUMBERS


async def test_of_many_that_find_it_out_one_opens_it(scene: Scene) -> None:
    experiment = await scene.running("a")
    was = await PostgresPublications(scene.database).incarnation()
    opened = await asyncio.gather(*(reopen(scene, was) for _ in range(5)))
    now = await PostgresPublications(scene.database).incarnation()
    assert sorted(filter(None, opened)) == [now]
    current = await scene.experiments.get(experiment.id)
    assert current.config_no == experiment.config_no + SKIPPED_NUMBERS
