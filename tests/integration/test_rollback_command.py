"""`pullarm rollback` where neither the control plane nor PostgreSQL answers."""

from collections.abc import AsyncIterator

import pytest

from pullarm.domain.experiment import State
from pullarm.storage.postgres import PostgresTrail
from tests.e2e.commands import pullarm
from tests.publishing import Scene, publishing

NOWHERE = ("--control-url", "http://127.0.0.1:9", "--state", "there-is-none")


@pytest.fixture
async def scene(database_url: str, redis_url: str) -> AsyncIterator[Scene]:
    async with publishing(database_url, redis_url) as scene:
        yield scene


async def test_serving_is_told_by_way_of_redis_and_the_ledger_by_a_worker(
    scene: Scene, redis_url: str
) -> None:
    experiment = await scene.running("front-page")
    await scene.publisher.publish_due()
    await scene.publisher.audit()
    given = {"REDIS_URL": redis_url}
    why = ("--note", "complaints: many")
    ended = await pullarm("rollback", "front-page", *why, *NOWHERE, given=given)
    assert ended.status == 0, ended.errors
    assert "does not answer" in ended.errors
    assert ended.output.startswith(f"{experiment.id} is rolled_back with serving")
    assert (await scene.served(experiment.number)).standing.name == "ROLLED_BACK"
    assert (await scene.experiments.get(experiment.id)).state is State.RUNNING
    await scene.publisher.audit()
    assert (await scene.experiments.get(experiment.id)).state is State.ROLLED_BACK
    (entry, *_) = await PostgresTrail(scene.database).page(experiment.number, before=None, count=1)
    assert (entry.action, entry.actor, entry.after["note"]) == (
        "rollback",
        "halt",
        "complaints: many",
    )
    async with scene.database.connection() as connection:
        alerts = [row["text"] for row in await connection.fetch("SELECT text FROM alert")]
    assert len(alerts) == 1
    assert "complaints: many (by halt, worker)" in alerts[0]

    unknown = await pullarm("rollback", "nothing", *NOWHERE, given=given)
    assert (unknown.status, "serving knows no experiment 'nothing'" in unknown.errors) == (1, True)
