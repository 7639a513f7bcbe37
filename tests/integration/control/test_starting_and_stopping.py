from http import HTTPStatus

from httpx import AsyncClient

from pullarm.storage.postgres import Database
from pullarm.storage.redis import RedisBoard, connect
from pullarm.storage.redis.keys import halt
from tests.control_api import AwayBoard, Clock, app_over, client_of, created, problem


async def test_start_and_stop(client: AsyncClient, board: RedisBoard, clock: Clock) -> None:
    path = f"/api/experiments/{(await created(client))['id']}"
    stop_of_a_draft = await client.post(f"{path}/stop")
    assert problem(stop_of_a_draft, HTTPStatus.CONFLICT) == {}
    assert "legal now: start" in stop_of_a_draft.json()["detail"]
    clock.now_ms += 1000
    started = await client.post(f"{path}/start")
    assert started.status_code == HTTPStatus.OK
    assert started.json()["state"] == "running"
    assert started.json()["started_at"] == started.json()["updated_at"]
    assert problem(await client.post(f"{path}/start"), HTTPStatus.CONFLICT) == {}
    changes = (await board.index()).change_no
    clock.now_ms += 1000
    stopped = await client.post(f"{path}/stop")
    assert stopped.status_code == HTTPStatus.OK
    assert stopped.json()["state"] == "stopped"
    assert stopped.json()["end_at"] is not None
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
    assert await redis.get(halt(1)) == b"stopped"
    await redis.aclose()


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


async def test_a_closed_catalogue_without_arms_does_not_start(client: AsyncClient) -> None:
    path = f"/api/experiments/{(await created(client, arms=[]))['id']}"
    refused = await client.post(f"{path}/start")
    assert problem(refused, HTTPStatus.CONFLICT) == {}
    assert '{"catalogue": "open"}' in refused.json()["detail"]
    assert (await client.patch(path, json={"catalogue": "open"})).status_code == HTTPStatus.OK
    assert (await client.post(f"{path}/start")).json()["state"] == "running"
    closing = await client.patch(path, json={"catalogue": "closed"})
    assert problem(closing, HTTPStatus.CONFLICT) == {}
