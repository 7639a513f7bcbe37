"""PostgreSQL in an earlier state than before: workers notice, a new life begins, and learning goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from urllib.parse import urlsplit

import pytest

from pullarm.domain.experiment import Catalogue
from pullarm.storage.postgres import PostgresHistory, PostgresPublications
from tests.ledger_events import START_MS, Events
from tests.publishing import Scene, publishing, until_served
from tests.services import execute, fresh_database


@asynccontextmanager
async def copy_of(url: str, server: str) -> AsyncIterator[str]:
    """The same database as it is now, under another name."""
    async with fresh_database(server, urlsplit(url).path[1:]) as copy:
        yield copy


async def published(scene: Scene) -> None:
    await scene.publisher.publish_due()
    await scene.publisher.audit()


async def test_ledger_that_lacks_what_was_published_begins_a_new_life(
    database_url: str, redis_url: str, services: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async with publishing(database_url, redis_url) as scene:
        kept = await scene.running("kept")
        await scene.rewarded(kept.number, count=2)
        await published(scene)
        was = await PostgresPublications(scene.database).incarnation()
    async with copy_of(database_url, services["DATABASE_URL"]) as backup:
        async with publishing(database_url, redis_url) as scene:
            scene.make = Events(Random(2))  # other decisions than before
            lost = await scene.running("lost")
            for _ in range(3):
                await scene.rewarded(kept.number)
                await published(scene)
            before = await scene.served(kept.number)
        async with publishing(backup, redis_url) as scene:
            scene.make = Events(Random(3))
            publishers = [scene.another_publisher() for _ in range(3)]
            await asyncio.gather(*(publisher.audit() for publisher in publishers))
            await scene.publisher.audit()
            after = await scene.served(kept.number)
            incarnation = await PostgresPublications(scene.database).incarnation()
            assert after.head.incarnation == incarnation != was == before.head.incarnation
            assert after.head.pub_no > before.head.pub_no
            assert await scene.on_board(kept.number) == [(2, 2), (0, 0)]
            await scene.rewarded(kept.number, arm=2)
            await published(scene)
            assert await scene.on_board(kept.number) == [(2, 2), (1, 1)]
            assert (await scene.board.index()).experiments == (kept.number,)
            again = await scene.running("again")
            assert again.number > lost.number
    (told,) = [r.message for r in caplog.records if "from a backup" in r.message]
    assert f"later publications of experiments number [{kept.number}, {lost.number}]" in told


async def test_decisions_of_the_lost_time_are_published_once_their_arms_are_there(
    database_url: str, redis_url: str
) -> None:
    """They name arm 2 of an open catalogue, which the ledger does not have any more, and which comes again."""
    async with publishing(database_url, redis_url) as scene:
        number = (await scene.running("open", Catalogue.OPEN)).number
        await scene.experiments.register_arms(number, ["one"], START_MS)
        await scene.rewarded(number, arm=1)
        await scene.rewarded(number, arm=2, count=3)
        await published(scene)
        assert await scene.on_board(number) == [(1, 1)]
        await scene.experiments.register_arms(number, ["two"], START_MS)
        await published(scene)
        difference = scene.board.handed[-1]
        assert not difference.complete
        assert await scene.on_board(number) == [(1, 1), (3, 3)]
        told = await PostgresHistory(scene.database).published(number, difference.head.pub_no)
        read = await scene.board.read(number, None)
        assert read is not None
        assert told.posteriors == read.posteriors


async def test_experiment_that_only_the_board_knows_is_enough(
    database_url: str, redis_url: str, services: dict[str, str]
) -> None:
    async with (
        copy_of(database_url, services["DATABASE_URL"]) as backup,
        publishing(database_url, redis_url) as scene,
        publishing(backup, redis_url) as restored,
    ):
        lost = await scene.running("lost")
        await published(scene)
        await published(restored)
        index = await restored.board.index()
        assert (
            index.incarnation
            != (await scene.board.versions([lost.number]))[lost.number].incarnation
        )


async def test_ledger_in_another_postgresql_begins_a_new_life_once(
    database_url: str, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with publishing(database_url, redis_url) as scene:
        number = (await scene.running("a")).number
        await scene.rewarded(number)
        await published(scene)
        first = (await scene.served(number)).head.incarnation
        await published(scene)
        assert (await scene.served(number)).head.incarnation == first
        await execute(database_url, "UPDATE ledger SET system = system + 1")
        for _ in range(3):
            await published(scene)
        assert (await scene.served(number)).head.incarnation != first
        assert await scene.on_board(number) == [(1, 1), (0, 0)]
    (told,) = [r.message for r in caplog.records if "from a backup" in r.message]
    assert "another PostgreSQL" in told


async def test_racing_publishers_are_no_sign_of_a_backup(
    database_url: str, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with publishing(database_url, redis_url) as scene:
        number = (await scene.running("a")).number
        rivals = [scene.another_publisher() for _ in range(3)]

        async def audit() -> None:
            for rival in rivals * 10:
                await rival.audit()

        async with scene.at_work(scene.publisher, scene.another_publisher()):
            auditing = asyncio.create_task(audit())
            for serves in range(1, 8):
                await scene.rewarded(number)
                await until_served(scene, number, serves)
            await auditing
        assert not [r for r in caplog.records if "from a backup" in r.message]
