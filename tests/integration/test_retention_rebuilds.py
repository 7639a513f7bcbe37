"""Rebuilds before, beside and after a day is removed: what is proved is what the rebuild made of it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pullarm.domain.audit import Author
from pullarm.domain.errors import Conflict, Unavailable
from pullarm.domain.rebuild import Exclusion, Restoration
from pullarm.storage.postgres import PostgresRepair
from pullarm.storage.postgres.retention import PostgresRetention
from pullarm.storage.postgres.times import at
from tests.integration.retention_scene import DAY_MS, FIRST, RetentionScene
from tests.ledger_events import HOUR_MS, START_MS

AUTHOR = Author("somebody", "command", "")
NOW = at(START_MS + 3 * DAY_MS)
BOT = Exclusion(source="bot")


@pytest.fixture
async def number(scene: RetentionScene) -> int:
    """An experiment with two days of four decisions, one rewarded by a bot and one by somebody else on each."""
    number, make = (await scene.experiment()).number, scene.make
    for day in range(2):
        tokens = [make.token(number, at_ms=START_MS + day * DAY_MS + n * HOUR_MS) for n in range(4)]
        false = make.reward(tokens[0])._replace(source="bot")
        await scene.fold(*map(make.decision, tokens), false, make.reward(tokens[1]))
    return number


async def totals(scene: RetentionScene, number: int) -> tuple[int, int]:
    cells = (await scene.ledger.posterior(number)).values()
    return sum(n for n, _ in cells), sum(s for _, s in cells) // 1_000_000


async def test_rebuild_before_a_day_is_removed_stands(scene: RetentionScene, number: int) -> None:
    """Also once it is lifted: of the removed day there is nothing to take in again."""
    repair = PostgresRepair(scene.database)
    window = Exclusion(from_at=at(START_MS + 2 * HOUR_MS), to_at=at(START_MS + 3 * HOUR_MS))
    for change in (BOT, window):
        await repair.rebuild(number, change, AUTHOR, NOW)
    assert await totals(scene, number) == (7, 2)
    await scene.publish(number)
    await scene.retention.remove(FIRST, START_MS)
    await scene.retention.prune()
    assert (await totals(scene, number), await scene.verify(number)) == ((7, 2), [])
    lifted = await repair.rebuild(number, Restoration(rebuild_no=1), AUTHOR, NOW)
    assert lifted.rebuild_no == 3
    assert (await totals(scene, number), await scene.verify(number)) == ((7, 3), [])


async def test_rebuild_after_a_day_is_removed_reaches_what_is_left(
    scene: RetentionScene, number: int
) -> None:
    repair = PostgresRepair(scene.database)
    await scene.retention.remove(FIRST, START_MS)
    for reaches in (
        Exclusion(from_at=at(START_MS + 23 * HOUR_MS)),
        Exclusion(until=at(START_MS)),
        replace(BOT, from_at=at(START_MS), to_at=at(START_MS + 2 * DAY_MS)),
    ):
        with pytest.raises(Conflict, match="retention removed the days up to 2025-10-14"):
            await repair.rebuild(number, reaches, AUTHOR, NOW)
    assert await totals(scene, number) == (8, 4)
    later = Exclusion(from_at=at(START_MS + DAY_MS + 3 * HOUR_MS))
    for change, expected in ((Exclusion(), (8, 4)), (BOT, (8, 3)), (later, (7, 3))):
        await repair.rebuild(number, change, AUTHOR, NOW)
        assert (await totals(scene, number), await scene.verify(number)) == (expected, [])


async def test_day_waits_for_a_rebuild(scene: RetentionScene, number: int) -> None:
    retention = PostgresRetention(scene.database, hold_up=timedelta(seconds=1), patience_s=0.1)
    async with scene.database.transaction() as rebuilding:
        await rebuilding.execute("SELECT pg_advisory_xact_lock(31, $1)", number)
        with pytest.raises(Unavailable, match="or a rebuild; they are sealed"):
            await retention.remove(FIRST, START_MS)
    assert await scene.count("decision") == 8
    await retention.remove(FIRST, START_MS)
    assert (await scene.count("decision"), await scene.verify(number)) == (4, [])
