"""The dashboard's log-in: a cookie for a token, which ends in time, by log-out and with its token; and limits."""

from collections.abc import AsyncIterator
from http import HTTPStatus

import pytest
from httpx import AsyncClient
from litestar import Litestar

from control.access import COOKIE
from control.settings import Limits
from pullarm.storage.memory import MemoryTokens
from pullarm.storage.postgres import Database
from pullarm.storage.redis import RedisBoard
from tests.control_api import ADMIN, Clock, administered, app_over, client_of, created, problem

HOUR_MS = 3_600_000
OURS = {"Origin": "http://control"}


@pytest.fixture
def tokens() -> MemoryTokens:
    return administered()


@pytest.fixture
def app(database: Database, board: RedisBoard, clock: Clock, tokens: MemoryTokens) -> Litestar:
    return app_over(database, board, clock, tokens=tokens)


@pytest.fixture
async def browser(app: Litestar) -> AsyncIterator[AsyncClient]:
    """Keeps cookies and has no token."""
    async with client_of(app, None) as connected:
        yield connected


async def log_in(browser: AsyncClient, secret: str = ADMIN) -> None:
    answer = await browser.post("/api/session", json={"token": secret}, headers=OURS)
    assert answer.status_code == HTTPStatus.OK, answer.text


async def test_a_cookie_stands_for_its_token_until_log_out(browser: AsyncClient) -> None:
    problem(await browser.get("/api/experiments"), HTTPStatus.UNAUTHORIZED)
    answer = await browser.post("/api/session", json={"token": f" {ADMIN}\n"}, headers=OURS)
    assert answer.json() == {"name": "Test", "role": "admin"}
    attributes = answer.headers["set-cookie"].lower()
    for wanted in ("httponly", "samesite=strict", "path=/", "max-age=43200"):
        assert wanted in attributes
    assert "secure" not in attributes
    assert ADMIN not in answer.text + attributes
    assert (await browser.get("/api/experiments")).status_code == HTTPStatus.OK
    kept = browser.cookies[COOKIE]
    ended = await browser.delete("/api/session", headers=OURS)
    assert ended.status_code == HTTPStatus.NO_CONTENT
    assert COOKIE not in browser.cookies
    browser.cookies.set(COOKIE, kept)
    problem(await browser.get("/api/experiments"), HTTPStatus.UNAUTHORIZED)


async def test_over_tls_the_cookie_never_leaves_it(app: Litestar) -> None:
    async with client_of(app, None) as browser:
        answer = await browser.post("https://control/api/session", json={"token": ADMIN})
    assert "secure" in answer.headers["set-cookie"].lower()


async def test_a_session_expires(browser: AsyncClient, clock: Clock) -> None:
    await log_in(browser)
    clock.now_ms += 12 * HOUR_MS - 1
    assert (await browser.get("/api/session")).status_code == HTTPStatus.OK
    clock.now_ms += 1
    problem(await browser.get("/api/session"), HTTPStatus.UNAUTHORIZED)


async def test_a_session_ends_with_its_token(browser: AsyncClient, app: Litestar) -> None:
    async with client_of(app) as admin:
        made = (await admin.post("/api/tokens", json={"name": "x", "role": "viewer"})).json()
        await log_in(browser, made["token"])
        assert (await browser.get("/api/experiments")).status_code == HTTPStatus.OK
        await admin.delete(f"/api/tokens/{made['id']}")
    problem(await browser.get("/api/experiments"), HTTPStatus.UNAUTHORIZED)


async def test_only_tokens_that_read_log_in(browser: AsyncClient, app: Litestar) -> None:
    async with client_of(app) as admin:
        caller = (await admin.post("/api/tokens", json={"name": "c", "role": "caller"})).json()
    for body, status in (
        ({"token": caller["token"]}, HTTPStatus.FORBIDDEN),
        ({"token": "pullarm_" + "x" * 43}, HTTPStatus.UNAUTHORIZED),
        ({"token": 7}, HTTPStatus.UNPROCESSABLE_ENTITY),
        ([], HTTPStatus.UNPROCESSABLE_ENTITY),
    ):
        problem(await browser.post("/api/session", json=body, headers=OURS), status)
    assert not browser.cookies


async def test_only_our_own_page_changes_anything_with_a_cookie(browser: AsyncClient) -> None:
    await log_in(browser)
    body = {"name": "x"}
    for headers in ({}, {"Origin": "http://control:3000"}, {"Origin": "null"}):
        answer = await browser.post("/api/experiments", json=body, headers=headers)
        problem(answer, HTTPStatus.FORBIDDEN)
    assert (await browser.get("/api/experiments")).json() == {"experiments": [], "next": None}
    answer = await browser.post("/api/experiments", json=body, headers=OURS)
    assert answer.status_code == HTTPStatus.CREATED


async def test_every_answer_tells_browsers_to_do_nothing_else(
    browser: AsyncClient, app: Litestar
) -> None:
    async with client_of(app) as admin:
        answers = [await admin.get("/api/experiments"), await admin.get("/schema/openapi.json")]
    paths = ("/", "/icon.svg", "/healthz", "/api/experiments", "/nowhere")
    for answer in [*answers, *[await browser.get(path) for path in paths]]:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cache-control"] in ("no-store", "no-cache")


async def test_an_address_and_a_token_may_ask_only_so_often(
    database: Database, board: RedisBoard, clock: Clock
) -> None:
    for limits in (Limits(per_address=5), Limits(per_token=5)):
        app = app_over(database, board, clock, limits=limits)
        async with client_of(app) as client:
            answers = [await client.get("/api/session") for _ in range(30)]
            assert {each.status_code for each in answers[:5]} == {HTTPStatus.OK}
            refused = [each for each in answers if not each.is_success]
            problem(refused[0], HTTPStatus.TOO_MANY_REQUESTS)
            assert {each.headers["retry-after"] for each in refused} == {"1"}
            assert "PULLARM_REQUESTS_PER_TOKEN" in refused[0].json()["detail"]
    async with client_of(app, None) as nobody:  # whose requests count for no token
        statuses = [(await nobody.get("/api/session")).status_code for _ in range(30)]
        assert set(statuses) == {HTTPStatus.UNAUTHORIZED}


async def test_a_body_may_be_only_so_large(
    database: Database, board: RedisBoard, clock: Clock
) -> None:
    app = app_over(database, board, clock, limits=Limits(body_bytes=1_000))
    async with client_of(app) as client:
        answer = await client.post("/api/experiments", json={"notes": "x" * 2_000})
        problem(answer, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        assert "PULLARM_MAX_BODY_MIB" in answer.json()["detail"]
        answer = await client.post("/api/session", json={"token": "x" * 5_000})
        problem(answer, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


async def test_what_a_token_is_asked_for_with_is_checked(client: AsyncClient) -> None:
    bad = {"role": "boss", "experiments": ["nothing", {"id": 7}], "expires_in_days": -1, "nam": "x"}
    found = problem(await client.post("/api/tokens", json=bad), HTTPStatus.UNPROCESSABLE_ENTITY)
    assert set(found) == {
        *("name", "nam", "role", "expires_in_days", "experiments[0]", "experiments[1]")
    }
    scoped = {"name": "x", "role": "admin", "experiments": [(await created(client))["id"]]}
    found = problem(await client.post("/api/tokens", json=scoped), HTTPStatus.UNPROCESSABLE_ENTITY)
    assert set(found) == {"experiments"}
    assert len((await client.get("/api/tokens")).json()["tokens"]) == 1
