from datetime import datetime, timedelta
from http import HTTPStatus

from httpx import AsyncClient

from pullarm.domain.experiment import State
from pullarm.storage.postgres import Database, PostgresPublications
from pullarm.storage.redis import RedisBoard, connect
from pullarm.storage.redis.keys import halt
from tests.control_api import AwayBoard, Clock, app_over, client_of, created, problem
from tests.relay import Relay
from workers.publisher import Publisher


async def test_start_and_stop(client: AsyncClient, board: RedisBoard, clock: Clock) -> None:
    path = f"/api/experiments/{(await created(client))['id']}"
    stop_of_a_draft = await client.post(f"{path}/stop")
    assert problem(stop_of_a_draft, HTTPStatus.CONFLICT) == {}
    assert "legal now: edit, start, archive" in stop_of_a_draft.json()["detail"]
    clock.now_ms += 1000
    started = await client.post(f"{path}/start")
    assert started.status_code == HTTPStatus.OK
    assert started.json()["state"] == "running"
    assert started.json()["started_at"] == started.json()["updated_at"]
    planned = datetime.fromisoformat(started.json()["end_at"])
    assert planned - datetime.fromisoformat(started.json()["started_at"]) == timedelta(days=14)
    assert problem(await client.post(f"{path}/start"), HTTPStatus.CONFLICT) == {}
    changes = (await board.index()).change_no
    clock.now_ms += 1000
    stopped = await client.post(f"{path}/stop")
    assert stopped.status_code == HTTPStatus.OK
    assert stopped.json()["state"] == "stopped"
    assert stopped.json()["end_at"] == stopped.json()["updated_at"]
    assert stopped.json()["warnings"] == []
    assert (await board.index()).change_no == changes + 1
    clock.now_ms += 1000
    again = await client.post(f"{path}/stop")
    assert again.status_code == HTTPStatus.OK
    assert again.json() == stopped.json()


async def test_a_stop_is_written_where_serving_obeys_it(
    client: AsyncClient, redis_url: str
) -> None:
    path = f"/api/experiments/{(await created(client))['id']}"
    await client.post(f"{path}/start")
    await client.post(f"{path}/stop")
    redis = connect(redis_url)
    assert await redis.get(halt(1)) == b"stopped:1:"
    await redis.aclose()


async def test_ledger_that_was_put_back_and_not_noticed_yet_gives_out_no_number_twice(
    client: AsyncClient, board: RedisBoard
) -> None:
    await board.complete("the life that was lost", [3, 8])
    draft = await created(client)
    await client.post(f"/api/experiments/{draft['id']}/start")
    await client.post(f"/api/experiments/{draft['id']}/stop")
    halted = await board.versions(range(1, 20))
    assert [number for number, version in halted.items() if version.halt] == [9]


async def test_experiment_that_was_put_back_to_a_draft_can_be_started(
    client: AsyncClient, database: Database, board: RedisBoard, clock: Clock
) -> None:
    """It had been stopped in the time that was lost; workers store such stops."""
    path = f"/api/experiments/{(await created(client))['id']}"
    await board.halt(1, State.STOPPED)
    assert (await client.post(f"{path}/start")).json()["state"] == "running"
    publisher = Publisher(PostgresPublications(database), board, clock)
    await publisher.publish_due()
    await publisher.audit()
    assert (await client.get(path)).json()["state"] == "running"
    published = await board.read(1, None)
    assert published is not None
    assert published.halt is None


async def test_start_that_is_illegal_leaves_the_halt(
    client: AsyncClient, board: RedisBoard
) -> None:
    path = f"/api/experiments/{(await created(client))['id']}"
    await client.post(f"{path}/start")
    await client.post(f"{path}/stop")
    problem(await client.post(f"{path}/start"), HTTPStatus.CONFLICT)
    assert (await board.versions([1]))[1].halt == State.STOPPED


async def test_a_stop_is_stored_and_answered_while_redis_is_away(
    database: Database, clock: Clock
) -> None:
    async with client_of(app_over(database, AwayBoard(), clock)) as client:
        path = f"/api/experiments/{(await created(client))['id']}"
        await client.post(f"{path}/start")
        stopped = await client.post(f"{path}/stop")
        assert stopped.status_code == HTTPStatus.OK
        assert stopped.json()["state"] == "stopped"
        assert "Redis is away" in stopped.json()["warnings"][0]
        assert (await client.get(path)).json()["state"] == "stopped"
        ready = await client.get("/readyz")
    assert ready.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert ready.json()["checks"] == {"postgresql": "ok", "redis": "Redis is away: refused"}


async def test_a_stop_reaches_serving_while_postgresql_is_away_and_the_ledger_later(
    relay: Relay, board: RedisBoard, clock: Clock
) -> None:
    async with Database(await relay.open()) as database:
        publisher = Publisher(PostgresPublications(database), board, clock)
        async with client_of(app_over(database, board, clock)) as client:
            one, other, draft = [(await created(client))["id"] for _ in range(3)]
            for each in (one, other):
                await client.post(f"/api/experiments/{each}/start")
            await publisher.publish_due()
            await publisher.audit()
            await relay.close()

            for call in (
                client.get("/api/experiments"),
                client.post(f"/api/experiments/{one}/start"),
                client.post("/api/experiments/not-published/stop"),
            ):
                away = await call
                assert problem(away, HTTPStatus.SERVICE_UNAVAILABLE) == {}
                assert "PostgreSQL is away" in away.json()["detail"]
                assert away.headers["retry-after"]
            old = {"If-Match": '"1"'}
            stale = await client.post(f"/api/experiments/{one}/stop", headers=old)
            assert problem(stale, HTTPStatus.PRECONDITION_FAILED) == {}
            assert (
                problem(await client.post(f"/api/experiments/{draft}/stop"), HTTPStatus.CONFLICT)
                == {}
            )
            for _ in range(2):
                stopped = await client.post(f"/api/experiments/{one}/stop")
                assert stopped.json()["state"] == "stopped"
                assert "stored once the ledger is back" in stopped.json()["warnings"][0]
            versions = await board.versions([1, 2, 3])
            assert [versions[number].halt for number in (1, 2, 3)] == ["stopped", "", ""]

            await relay.open()
            assert (await client.get(f"/api/experiments/{one}")).json()["state"] == "running"
            await publisher.audit()
            await publisher.audit()
            found = (await client.get(f"/api/experiments/{one}")).json()
            assert (found["state"], found["config_no"]) == ("stopped", 3)
            assert found["end_at"] is not None
            running = await client.get(f"/api/experiments/{other}")
            assert running.json()["state"] == "running"
    await relay.close()


async def test_a_closed_catalogue_without_arms_does_not_start(client: AsyncClient) -> None:
    path = f"/api/experiments/{(await created(client, arms=[]))['id']}"
    refused = await client.post(f"{path}/start")
    assert problem(refused, HTTPStatus.CONFLICT) == {}
    assert '{"catalogue": "open"}' in refused.json()["detail"]
    assert (await client.patch(path, json={"catalogue": "open"})).status_code == HTTPStatus.OK
    assert (await client.post(f"{path}/start")).json()["state"] == "running"
    closing = await client.patch(path, json={"catalogue": "closed"})
    assert problem(closing, HTTPStatus.CONFLICT) == {}
