from http import HTTPStatus

import pytest
from httpx import AsyncClient

from pullarm.domain.errors import ConfigurationError
from pullarm.storage.postgres import Database
from pullarm.storage.redis import RedisBoard
from tests.control_api import Clock, app_over, client_of, created, problem
from tests.relay import Relay
from tests.services import execute


@pytest.mark.parametrize("reference", ["exp_nothere12345", "no-such-key", "%00", "a%20b", "1' OR"])
@pytest.mark.parametrize("path", ["", "/summary"])
async def test_an_unknown_experiment_is_not_found(
    client: AsyncClient, reference: str, path: str
) -> None:
    answer = await client.get(f"/api/experiments/{reference}{path}")
    assert problem(answer, HTTPStatus.NOT_FOUND) == {}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"name": "\\ud800"}', b"\xff", b"[" * 20_000, b'{"traffic_pct": ' + b"1" * 9000],
)
async def test_a_body_that_is_no_json_is_refused(client: AsyncClient, content: bytes) -> None:
    json = {"Content-Type": "application/json"}
    answer = await client.post("/api/experiments", content=content, headers=json)
    problem(answer, HTTPStatus.BAD_REQUEST)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/nothing", HTTPStatus.NOT_FOUND),
        ("GET", "/nothing.js", HTTPStatus.NOT_FOUND),
        ("DELETE", "/api/experiments", HTTPStatus.METHOD_NOT_ALLOWED),
        ("GET", "/api/experiments/x/stop", HTTPStatus.METHOD_NOT_ALLOWED),
    ],
)
async def test_what_is_not_there_is_a_problem_too(
    client: AsyncClient, method: str, path: str, status: HTTPStatus
) -> None:
    problem(await client.request(method, path), status)


@pytest.mark.parametrize(
    ("path", "before", "status"),
    [
        ("guardrails/error_rate", "0001-01-01T00:00:00+14:00", HTTPStatus.UNPROCESSABLE_ENTITY),
        ("guardrails/error_rate", "soon", HTTPStatus.BAD_REQUEST),
        ("decisions", str(2**31), HTTPStatus.BAD_REQUEST),
        ("audit", str(2**63), HTTPStatus.BAD_REQUEST),
    ],
)
async def test_a_page_before_what_cannot_be_is_refused(
    client: AsyncClient, path: str, before: str, status: HTTPStatus
) -> None:
    experiment = (await created(client))["id"]
    answer = await client.get(f"/api/experiments/{experiment}/{path}", params={"before": before})
    assert set(problem(answer, status)) == {"before"}


async def test_the_process_is_alive_and_ready(client: AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "alive"}
    ready = await client.get("/readyz")
    assert ready.status_code == HTTPStatus.OK
    assert ready.json() == {"ready": True, "checks": {"postgresql": "ok", "redis": "ok"}}


async def test_a_database_without_its_tables_is_not_ready(
    empty_database_url: str, database_url: str, client: AsyncClient
) -> None:
    with pytest.raises(ConfigurationError, match="run `pullarm migrate`"):
        async with Database(empty_database_url):
            pass
    await execute(database_url, "DELETE FROM migration")
    ready = await client.get("/readyz")
    assert ready.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert "run `pullarm migrate`" in ready.json()["checks"]["postgresql"]


async def test_postgresql_away_is_told_clearly(
    relay: Relay, board: RedisBoard, clock: Clock
) -> None:
    url = await relay.open()
    async with Database(url) as database, client_of(app_over(database, board, clock)) as client:
        assert (await client.get("/api/experiments")).status_code == HTTPStatus.OK
        await relay.close()
        answer = await client.get("/api/experiments")
        assert problem(answer, HTTPStatus.SERVICE_UNAVAILABLE) == {}
        assert "PostgreSQL is away" in answer.json()["detail"]
        assert (await client.get("/healthz")).status_code == HTTPStatus.OK
        ready = await client.get("/readyz")
        assert ready.status_code == HTTPStatus.SERVICE_UNAVAILABLE
        assert "PostgreSQL is away" in ready.json()["checks"]["postgresql"]
        assert ready.json()["checks"]["redis"] == "ok"
        await relay.open()
        assert (await client.get("/api/experiments")).status_code == HTTPStatus.OK
        await relay.close()


async def test_the_api_describes_itself(client: AsyncClient) -> None:
    document = (await client.get("/schema/openapi.json")).json()
    paths = document["paths"]
    assert set(paths) == {
        "/api/experiments",
        "/api/experiments/{reference}",
        "/api/experiments/{reference}/guardrails",
        "/api/experiments/{reference}/guardrails/{guardrail}",
        "/api/experiments/{reference}/rollback",
        "/api/experiments/{reference}/resume",
        "/api/experiments/{reference}/arms",
        "/api/experiments/{reference}/arms/{arm_id}/pause",
        "/api/experiments/{reference}/arms/{arm_id}/resume",
        "/api/experiments/{reference}/arms/{arm_id}/retire",
        "/api/experiments/{reference}/archive",
        "/api/experiments/{reference}/audit",
        "/api/experiments/{reference}/clone",
        "/api/experiments/{reference}/erase",
        "/api/experiments/{reference}/forced",
        "/api/experiments/{reference}/start",
        "/api/experiments/{reference}/stop",
        "/api/experiments/{reference}/summary",
        "/api/experiments/{reference}/validate",
        "/api/experiments/validate",
        "/api/glance",
        "/api/audit",
        "/api/groups",
        "/api/groups/{name}",
        *(
            f"/api/experiments/{{reference}}/{each}"
            for each in (
                *("timeseries", "cohorts", "latency", "allocation", "regret", "epochs"),
                *("policies", "events", "export"),
            )
        ),
        "/api/decisions/{decision}",
        "/api/experiments/{reference}/live",
        "/api/experiments/{reference}/decisions",
        "/api/experiments/{reference}/ship",
        "/api/movies/recommendations",
        "/api/replays",
        "/api/replays/{report}",
        "/api/system",
        "/api/session",
        "/api/tokens",
        "/api/tokens/{token_id}",
        "/healthz",
        "/readyz",
    }
    body = paths["/api/experiments"]["post"]["requestBody"]["content"]["application/json"]
    example = await client.post("/api/experiments", json=body["example"])
    assert example.status_code == HTTPStatus.CREATED
