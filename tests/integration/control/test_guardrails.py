from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import pytest
from httpx import AsyncClient

from pullarm.domain.experiment import State
from pullarm.domain.guardrail import Action, Check, Guardrail, Verdict
from pullarm.storage.postgres import Database, PostgresExperiments, PostgresPublications
from pullarm.storage.postgres.guardrails import Outcome, PostgresGuardrails
from pullarm.storage.redis import RedisBoard
from tests.control_api import AwayBoard, Clock, app_over, client_of, created, problem
from tests.ledger_events import START_MS
from tests.relay import Relay
from workers.publisher import Publisher


async def running(client: AsyncClient) -> str:
    path = f"/api/experiments/{(await created(client))['id']}"
    await client.post(f"{path}/start")
    return path


async def test_defaults_are_the_original_s_and_a_number_alone_is_the_limit(
    client: AsyncClient,
) -> None:
    original = {
        "error_rate": 0.01,
        "latency_p95": 120,
        "arm_concentration": 0.50,
        "reward_drop": 0.05,
    }
    told = (await created(client, guardrails=original))["guardrails"]
    assert told == (await created(client))["guardrails"]
    assert told["error_rate"] == {"warning": 0.005, "limit": 0.01, "action": "critical"}
    assert told["latency_p95"] == {"warning": 100, "limit": 120, "action": "critical"}
    assert told["reward_drop"] == {"warning": 0.03, "limit": 0.05, "action": "critical"}
    assert told["arm_concentration"] == {"warning": 0.4, "limit": 0.5, "action": "warn"}
    assert told["max_rollbacks"] == 3


async def test_a_change_of_guardrails_begins_no_epoch(client: AsyncClient) -> None:
    path = await running(client)
    changed = {"error_rate": {"limit": 0.02}, "sample_ratio": {"action": "off"}, "max_rollbacks": 1}
    answer = (await client.patch(path, json={"guardrails": changed})).json()
    assert answer["guardrails"]["error_rate"] == {
        "warning": 0.005,
        "limit": 0.02,
        "action": "critical",
    }
    assert answer["guardrails"]["sample_ratio"]["action"] == "off"
    assert (answer["allocation_epoch"], answer["guard_epoch"]) == (1, 1)
    reset = {"error_rate": None, "max_rollbacks": None}
    answer = (await client.patch(path, json={"guardrails": reset})).json()
    assert answer["guardrails"]["error_rate"]["limit"] == 0.01
    assert answer["guardrails"]["sample_ratio"]["action"] == "off"
    assert answer["guardrails"]["max_rollbacks"] == 3


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("guardrails.error_rate.limit", {"error_rate": {"limit": 5}}, "between 1e-05 and 0.5"),
        ("guardrails.error_rate", {"error_rate": 5}, "between 1e-05 and 0.5"),
        ("guardrails.error_rate", {"error_rate": "low"}, "must be an object"),
        (
            "guardrails.latency_p95.warning",
            {"latency_p95": {"warning": 130}},
            "not be above the limit",
        ),
        ("guardrails.propensity.warning", {"propensity": {"warning": 1e-6}}, "not be below"),
        ("guardrails.reward_drop.action", {"reward_drop": {"action": "panic"}}, "off, warn, count"),
        ("guardrails.error", {"error": 0.01}, "did you mean 'error_rate'"),
        ("guardrails.max_rollbacks", {"max_rollbacks": -1}, "between 0 and 100"),
    ],
)
async def test_what_is_wrong_is_named(
    client: AsyncClient, field: str, value: object, said: str
) -> None:
    answer = await client.post("/api/experiments", json={"name": "a", "guardrails": value})
    assert said in problem(answer, HTTPStatus.UNPROCESSABLE_ENTITY)[field]


async def test_rollback_and_resume(
    client: AsyncClient, database: Database, board: RedisBoard
) -> None:
    path = f"/api/experiments/{(await created(client))['id']}"
    assert problem(await client.post(f"{path}/rollback"), HTTPStatus.CONFLICT) == {}
    await client.post(f"{path}/start")
    assert problem(await client.post(f"{path}/resume"), HTTPStatus.CONFLICT) == {}
    for note in ("complaints", "again"):
        answer = await client.post(f"{path}/rollback", json={"note": note})
        assert answer.status_code == HTTPStatus.OK
        assert (answer.json()["state"], answer.json()["warnings"]) == ("rolled_back", [])
    assert await board.halted(1) == (State.ROLLED_BACK, 1, "complaints")
    async with database.connection() as connection:
        (alert,) = await connection.fetch("SELECT level, text FROM alert")
    assert alert["level"] == "critical"
    assert "everybody gets control: complaints (by " in alert["text"]
    (entry, *_) = (await client.get(f"{path}/audit")).json()["entries"]
    assert (entry["action"], entry["after"]["note"]) == ("rollback", "complaints")
    answer = await client.post(f"{path}/resume")
    assert (answer.json()["state"], answer.json()["guard_epoch"]) == ("running", 2)
    assert answer.json()["allocation_epoch"] == 1
    assert await board.halted(1) is None
    await client.post(f"{path}/rollback")
    assert await board.halted(1) == (State.ROLLED_BACK, 2, "")
    assert (await client.post(f"{path}/stop")).json()["state"] == "stopped"
    assert problem(await client.post(f"{path}/resume"), HTTPStatus.CONFLICT) == {}


async def test_what_was_shipped_goes_on_as_shipped_after_a_rollback(
    client: AsyncClient, database: Database, clock: Clock
) -> None:
    path = await running(client)
    await client.post(f"{path}/ship", json={"policy": "thompson"})
    await client.post(f"{path}/rollback")
    clock.now_ms += 20 * 24 * 3_600_000
    assert await PostgresExperiments(database).due(clock.now_ms) == []
    resumed = (await client.post(f"{path}/resume")).json()
    assert (resumed["state"], resumed["default_policy"]) == ("shipped", "thompson")
    assert resumed["guard_epoch"] == 3


async def test_redis_away_a_rollback_is_stored_and_a_resume_too(
    database: Database, clock: Clock, board: RedisBoard
) -> None:
    publisher = Publisher(PostgresPublications(database), board, clock)
    async with client_of(app_over(database, AwayBoard(), clock)) as client:
        path = await running(client)
        rolled_back = (await client.post(f"{path}/rollback")).json()
        assert rolled_back["state"] == "rolled_back"
        assert "serving could not be told" in rolled_back["warnings"][0]
        await publisher.audit()
        assert await board.halted(1) == (State.ROLLED_BACK, 1, "")
        resumed = (await client.post(f"{path}/resume")).json()
        assert "once Redis is back" in resumed["warnings"][0]
        await publisher.audit()
        assert await board.halted(1) is None
        assert (await client.get(path)).json()["state"] == "running"


async def test_a_rollback_reaches_serving_while_postgresql_is_away_and_the_ledger_later(
    relay: Relay, board: RedisBoard, clock: Clock
) -> None:
    async with Database(await relay.open()) as database:
        publisher = Publisher(PostgresPublications(database), board, clock)
        async with client_of(app_over(database, board, clock)) as client:
            path = await running(client)
            await publisher.publish_due()
            await publisher.audit()
            await relay.close()
            answer = await client.post(f"{path}/rollback")
            assert answer.json()["state"] == "rolled_back"
            assert "stored once the ledger is back" in answer.json()["warnings"][0]
            assert await board.halted(1) == (State.ROLLED_BACK, 1, "")
            await relay.open()
            assert (await client.get(path)).json()["state"] == "running"
            for _ in range(2):
                await publisher.audit()
            assert (await client.get(path)).json()["state"] == "rolled_back"
    await relay.close()


async def test_checks_are_told_the_newest_and_page_by_page(
    client: AsyncClient, database: Database
) -> None:
    path = await running(client)
    nothing = (await client.get(f"{path}/guardrails")).json()
    assert (nothing["verdict"], nothing["guardrails"], nothing["rollbacks"]) == ("unknown", {}, [])
    store = PostgresGuardrails(database)
    for number, verdict in enumerate((Verdict.PASS, Verdict.PASS, Verdict.WARN)):
        check = Check(
            guardrail="error_rate",
            verdict=verdict,
            configured=Guardrail(0.005, 0.01, Action.CRITICAL),
            policy="ucb",
            value=0.004 + number / 1000,
            why="because",
            policies={"ucb": 0.006, "control": None},
        )
        now_ms = START_MS + number * 300_000
        outcome = Outcome(
            experiment=1,
            guard_epoch=1,
            due_ms=now_ms,
            now_ms=now_ms,
            checks=[check],
            alerts=[],
            rollback=None,
        )
        assert await store.store(outcome)
        assert not await store.store(outcome)
    told = (await client.get(f"{path}/guardrails")).json()
    assert told["verdict"] == "warn"
    assert told["guardrails"]["error_rate"]["value"] == 0.006
    assert told["guardrails"]["error_rate"]["policies"] == {"ucb": 0.006, "control": None}
    first = (await client.get(f"{path}/guardrails/error_rate?limit=2")).json()
    assert [check["verdict"] for check in first["checks"]] == ["warn", "pass"]
    parameters = {"limit": "2", "before": first["next"]}
    rest = (await client.get(f"{path}/guardrails/error_rate", params=parameters)).json()
    start = datetime.fromtimestamp(START_MS / 1000, UTC)
    assert [datetime.fromisoformat(check["due_at"]) for check in rest["checks"]] == [start]
    assert datetime.fromisoformat(first["next"]) == start + timedelta(minutes=5)
    assert rest["next"] is None
    unknown = await client.get(f"{path}/guardrails/ctr")
    assert "error_rate" in problem(unknown, HTTPStatus.UNPROCESSABLE_ENTITY)["guardrail"]
    metrics = (await client.get("/metrics")).text
    identifier = told["id"]
    assert (
        f'pullarm_guardrail_state{{experiment="{identifier}",guardrail="error_rate"}} 1.0'
        in metrics
    )
    assert await store.forget(start + timedelta(minutes=5)) == 1
    assert await store.forget(start + timedelta(days=90)) == 1
    left = (await client.get(f"{path}/guardrails/error_rate")).json()["checks"]
    assert [check["verdict"] for check in left] == ["warn"], "the newest is kept"
