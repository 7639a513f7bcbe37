"""What a rebuild changes reaches serving like any fold, under a new posterior version."""

from collections.abc import AsyncIterator
from datetime import timedelta
from random import Random

import pytest

from pullarm.domain.audit import Author
from pullarm.domain.rebuild import Exclusion, Restoration
from pullarm.storage.memory.experiments import at
from pullarm.storage.postgres import PostgresHistory, PostgresRepair
from tests.ledger_events import HOUR_MS, START_MS, THOMPSON
from tests.publishing import Scene, publishing
from tests.weighted import ALL, pairs, running, some_days


@pytest.fixture
async def scene(database_url: str, redis_url: str) -> AsyncIterator[Scene]:
    async with publishing(database_url, redis_url) as scene:
        yield scene


async def test_rebuilt_posterior_is_published_as_a_difference(scene: Scene) -> None:
    """Cells that fell to nothing as well; every version can still be told from the ledger."""
    repair, history = PostgresRepair(scene.database), PostgresHistory(scene.database)
    number = (await scene.running("rebuilt")).number
    seen: dict[int, list[tuple[int, int]]] = {}

    async def published() -> list[tuple[int, int]]:
        await scene.publisher.publish_due()
        assert not scene.board.handed[-1].complete or len(seen) == 0
        read = await scene.board.read(number, None)
        assert read is not None
        pub_no = read.head.pub_no
        assert pub_no not in seen
        seen[pub_no] = await scene.on_board(number)
        return seen[pub_no]

    async def rebuild(change: Exclusion | Restoration) -> None:
        await repair.rebuild(number, change, Author("", "test"), at(START_MS) + timedelta(hours=1))

    await scene.rewarded(number, arm=1, count=3)
    await scene.rewarded(number, arm=2, count=2)
    assert await published() == [(3, 3), (2, 2)]
    await rebuild(Exclusion(source="test"))
    assert await published() == [(3, 0), (2, 0)]
    await rebuild(Exclusion(until=at(START_MS)))
    assert await published() == [(0, 0), (0, 0)]
    await scene.rewarded(number, arm=2)
    assert await published() == [(0, 0), (1, 0)]
    await rebuild(Restoration(1))
    await rebuild(Restoration(2))
    assert await published() == [(3, 3), (3, 3)]
    for pub_no, sums in seen.items():
        then = await history.published(number, pub_no)
        posterior = await history.posterior(number, then.head.fold_no)
        assert [posterior.get((2, arm), (0, 0)) for arm in (1, 2)] == [
            (n, s * 1_000_000) for n, s in sums
        ]


async def test_rebuild_tells_what_is_published_before_and_after(scene: Scene) -> None:
    """Under the weights of the step, whatever of the ledger's hours is left out."""
    number = (await running(scene, ALL)).number
    await some_days(scene, number, Random(5), hours=40)
    scene.clock.now_ms = START_MS + 40 * HOUR_MS
    await scene.publisher.publish_due()
    before = await pairs(scene, number)
    left_out = Exclusion(from_at=at(START_MS + 30 * HOUR_MS))
    rebuilt = await PostgresRepair(scene.database).rebuild(
        number, left_out, Author("", "test"), at(scene.clock.now_ms)
    )
    await scene.publisher.publish_due()
    after = await pairs(scene, number)
    assert [rebuilt.weighed_before[THOMPSON, arm] for arm in (1, 2)] == before
    assert [rebuilt.weighed_after[THOMPSON, arm] for arm in (1, 2)] == after
    assert after[0] < before[0] < (rebuilt.before[THOMPSON, 1][0] * 1_000_000, 0)
