"""How the experiments of a list go."""

from httpx import AsyncClient

from pullarm.domain.guardrail import Action, Check, Guardrail, Verdict
from pullarm.storage.postgres import Database
from pullarm.storage.postgres.guardrails import Outcome, PostgresGuardrails
from tests.control_api import Clock, created
from tests.integration.control.analytics_scene import analytics_scene


def check(guardrail: str, verdict: Verdict) -> Check:
    return Check(guardrail=guardrail, verdict=verdict, configured=Guardrail(0.1, 0.2, Action.WARN))


async def test_health_and_who_is_ahead_of_what_has_started(
    client: AsyncClient, database: Database, clock: Clock
) -> None:
    scene = await analytics_scene(client, database, clock)
    draft = (await created(client, name="A draft"))["id"]
    before = (await client.get("/api/glance")).json()["experiments"]
    assert draft not in before
    assert (before[scene.id]["health"], before[scene.id]["concerns"]) == (None, [])
    outcome = Outcome(
        experiment=1,
        guard_epoch=1,
        due_ms=clock.now_ms,
        now_ms=clock.now_ms,
        checks=[check("error_rate", Verdict.PASS), check("worker_lag", Verdict.WARN)],
        alerts=[],
        rollback=None,
    )
    assert await PostgresGuardrails(database).store(outcome)
    (told,) = (
        (await client.get("/api/glance", params={"search": scene.id}))
        .json()["experiments"]
        .values()
    )
    assert (told["health"], told["concerns"]) == ("warn", ["worker_lag"])
    assert (told["verdict"], told["verdict_policy"]) == (None, "")
    lift = (await scene.get("/regret"))["policies"]["thompson"]["lift"]
    assert (told["leading"], told["lift"]) == ("thompson", lift["value"])
    assert told["interval"] == lift["anytime_interval"]
    assert (await client.get("/api/glance", params={"search": "nothing"})).json() == {
        "experiments": {}
    }


async def test_what_has_ended_is_not_compared_nor_checked(
    client: AsyncClient, database: Database, clock: Clock
) -> None:
    scene = await analytics_scene(client, database, clock)
    await client.post(f"{scene.path}/stop")
    told = (await client.get("/api/glance")).json()["experiments"][scene.id]
    assert (told["health"], told["leading"], told["lift"], told["interval"]) == (None,) * 4
