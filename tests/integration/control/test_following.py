"""What `pullarm events --follow` asks the control plane, and that it leaves nothing out."""

import asyncio
from random import Random
from typing import Any

import pytest
from httpx import AsyncClient

from cli.events import Following
from pullarm.domain.decision import Decision
from pullarm.storage.postgres import Database, PostgresLedger
from tests.control_api import Clock
from tests.integration.control.analytics_scene import CONTROL, AnalyticsScene, analytics_scene
from tests.ledger_events import HOUR_MS, START_MS, THOMPSON, Events, batch

MANY = 2_500
"""More than two pages of what is asked for."""
LATER_MS = START_MS + 2 * HOUR_MS


@pytest.fixture
async def scene(client: AsyncClient, database: Database, clock: Clock) -> AnalyticsScene:
    return await analytics_scene(client, database, clock)


def following(scene: AnalyticsScene, **filters: object) -> Following:
    """Asks from a thread, as the command is one."""
    loop = asyncio.get_running_loop()

    def page(**parameters: object) -> dict[str, Any]:
        given = {name: value for name, value in parameters.items() if value is not None}
        asking = asyncio.run_coroutine_threadsafe(scene.get("/events", **given), loop)
        return asking.result()

    return Following(page, filters)


async def fresh(log: Following) -> list[str]:
    """The users of what has come, oldest first."""
    found = await asyncio.to_thread(log.fresh)
    return [event["unit"] for event in reversed(found)]


async def test_all_that_comes_is_told_once_however_much_comes_at_once(
    scene: AnalyticsScene, database: Database
) -> None:
    make, ledger = Events(Random(2)), PostgresLedger(database)

    def decided(unit: str, at_ms: int, acting: int = THOMPSON) -> Decision:
        token = make.token(1, at_ms=at_ms, acting=acting)
        return make.decision(token)._replace(unit=unit)

    everything, control = following(scene), following(scene, policy="control")
    began = await asyncio.to_thread(everything.newest, 2)
    assert [event["unit"] for event in began] == ["user-6", "user-5"]
    assert [e["unit"] for e in await asyncio.to_thread(control.newest, 1)] == ["user-4"]
    assert await fresh(everything) == []
    many = [f"one-of-many-{n}" for n in range(MANY)]
    of_control = decided("of-control", LATER_MS, CONTROL)
    crowd = [decided(unit, LATER_MS + 1 + n) for n, unit in enumerate(many)]
    await ledger.fold(batch(of_control, *crowd), LATER_MS)
    assert await fresh(everything) == ["of-control", *many]
    assert await fresh(everything) == []
    await ledger.fold(batch(decided("folded-late", LATER_MS + MANY - 1_000)), LATER_MS)
    assert await fresh(everything) == ["folded-late"]
    assert await fresh(control) == ["of-control"]
    assert await fresh(control) == []
    await ledger.fold(batch(decided("next", LATER_MS + HOUR_MS // 2, CONTROL)), LATER_MS)
    assert await fresh(everything) == await fresh(control) == ["next"]


async def test_a_log_that_is_empty_yet(client: AsyncClient, database: Database) -> None:
    answer = await client.post("/api/experiments", json={"name": "Test", "arms": ["a", "b"]})
    scene = AnalyticsScene(client, "/api/experiments/test", answer.json()["id"], [])
    log = following(scene)
    assert await asyncio.to_thread(log.newest, 20) == []
    assert await fresh(log) == []
    make = Events()
    first = make.decision(make.token(1))._replace(unit="first")
    await PostgresLedger(database).fold(batch(first), START_MS)
    assert await fresh(log) == ["first"]
