"""Whatever the board has, it has everything anew after republishing; and what could not be is told."""

from collections.abc import AsyncIterator
from struct import pack

import pytest

from pullarm.domain.assignment import MICRO
from pullarm.domain.errors import Unavailable
from pullarm.domain.experiment import State
from pullarm.storage.postgres import PostgresPublications
from pullarm.storage.redis import keys
from tests.ledger_events import THOMPSON
from tests.publishing import Scene, publishing


@pytest.fixture
async def scene(database_url: str, redis_url: str) -> AsyncIterator[Scene]:
    async with publishing(database_url, redis_url) as scene:
        yield scene


async def test_wrong_posterior_that_nobody_notices_is_made_good(scene: Scene) -> None:
    """And the worker that published before goes on behind it."""
    first, second = await scene.running("a"), await scene.running("b")
    await scene.rewarded(first.number, count=3)
    await scene.publisher.publish_due()
    await scene.publisher.audit()
    wrong = pack("<4q", 9 * MICRO, 9 * MICRO, 0, 0)
    await scene.redis.set(keys.posterior(first.number, THOMPSON), wrong)
    await scene.publisher.audit()
    assert await scene.on_board(first.number) == [(9, 9), (0, 0)]
    handed = len(scene.board.handed)
    assert await scene.another_publisher().republish() == 2
    assert await scene.on_board(first.number) == [(3, 3), (0, 0)]
    assert [(p.experiment.number, p.complete) for p in scene.board.handed[handed:]] == [
        (first.number, True),
        (second.number, True),
    ]
    await scene.rewarded(first.number, arm=2)
    await scene.publisher.publish_due()
    assert (await scene.served(first.number)).head.pub_no == scene.board.handed[-1].head.pub_no
    assert await scene.on_board(first.number) == [(3, 3), (1, 1)]


async def test_emptied_redis_has_all_of_it_and_the_marker_and_the_halt(scene: Scene) -> None:
    running, stopped = await scene.running("a"), await scene.running("b")
    await scene.revise(stopped, stopped.spec, State.STOPPED)
    await scene.rewarded(running.number)
    assert await scene.another_publisher().republish() == 2
    await scene.redis.flushdb()
    assert await scene.another_publisher().republish() == 2
    index = await scene.board.index()
    assert (index.complete, index.experiments) == (True, (running.number, stopped.number))
    assert await scene.on_board(running.number) == [(1, 1), (0, 0)]
    assert (await scene.board.versions([stopped.number]))[stopped.number].halt == State.STOPPED


async def test_a_halt_of_an_epoch_that_cannot_be_read_holds_up_nobody(scene: Scene) -> None:
    """What it was rolled back in is not known; the ledger knows of no rollback, and so it ends."""
    running = await scene.running("a")
    await scene.publisher.audit()
    await scene.redis.set(keys.halt(running.number), b"rolled_back:x")
    assert (await scene.served(running.number)).standing.name == "ROLLED_BACK"
    await scene.publisher.audit()
    assert (await scene.served(running.number)).standing.name == "ASSIGNED"


async def test_experiment_that_another_process_keeps_is_told(scene: Scene) -> None:
    kept, free = await scene.running("a"), await scene.running("b")
    async with PostgresPublications(scene.database).owning(kept.number) as publishing:
        assert publishing is not None
        with pytest.raises(Unavailable, match=rf"experiments number \[{kept.number}\] could not"):
            await scene.another_publisher().republish(patience_s=0)
    assert [p.experiment.number for p in scene.board.handed] == [free.number]
    assert await scene.another_publisher().republish(patience_s=0) == 2


async def test_experiment_that_cannot_be_published_is_told(scene: Scene) -> None:
    """Its policy's parameters are beyond their range, as by another version of the code."""
    broken, sound = await scene.running("a"), await scene.running("b")
    async with scene.database.connection() as connection:
        await connection.execute(
            "UPDATE experiment SET spec = jsonb_set(spec, '{policies,0,params,floor}', '7') "
            "WHERE experiment_id = $1",
            broken.number,
        )
    with pytest.raises(Unavailable, match=rf"\[{broken.number}\] could not be republished"):
        await scene.another_publisher().republish(patience_s=0)
    assert [p.experiment.number for p in scene.board.handed] == [sound.number]
