"""Each role at each route. The routes are the application's own: one that says nothing of who may use it fails here."""

import random
from collections.abc import AsyncIterator
from http import HTTPStatus
from string import ascii_letters

import pytest
from httpx import AsyncClient
from litestar import Litestar, get
from litestar.routes import HTTPRoute

from control.access import Need
from control.settings import Limits
from pullarm.domain.access import Principal, Role, Token, digest
from pullarm.domain.audit import Author
from pullarm.domain.errors import Unavailable
from pullarm.storage.memory import MemoryTokens
from pullarm.storage.postgres import Database
from pullarm.storage.postgres.times import at
from pullarm.storage.redis import RedisBoard
from tests.control_api import ADMIN, Clock, administered, app_over, client_of, created, problem
from tests.ledger_events import START_MS

OPEN = {
    ("GET", "/"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("GET", "/readyz"),
    ("GET", "/{file_path}"),
    ("HEAD", "/"),
    ("HEAD", "/{file_path}"),
    ("POST", "/api/session"),
}
"""All that answers without a token: pages and files that show nothing by themselves, health, and the log-in."""
SECRETS = {role: "pullarm_" + role.value[0] * 43 for role in Role} | {Role.ADMIN: ADMIN}
REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
OTHERS = {f"tok_{role}" for role in Role if role is not Role.ADMIN}
DAY_MS = 86_400_000


def routes(app: Litestar) -> dict[tuple[str, str], dict[str, object]]:
    """What every method of every path says of itself, but for the framework's own OPTIONS."""
    return {
        (method, route.path_format): dict(handler.opt)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items()
        if method != "OPTIONS"
    }


def token(role: Role, experiments: frozenset[int] | None = None) -> Token:
    return Token(
        principal=Principal(
            token_id=f"tok_{role}", name=f"the {role}", role=role, experiments=experiments
        ),
        created_at=at(START_MS),
        created_by="test",
    )


@pytest.fixture
def tokens() -> MemoryTokens:
    """One of each role."""
    kept = administered()
    for role in (Role.VIEWER, Role.OPERATOR, Role.CALLER):
        kept.add(token(role), digest(SECRETS[role]))
    return kept


@pytest.fixture
def app(database: Database, board: RedisBoard, clock: Clock, tokens: MemoryTokens) -> Litestar:
    unlimited = Limits(per_address=0, per_token=0)
    return app_over(database, board, clock, tokens=tokens, limits=unlimited)


@pytest.fixture
async def client(app: Litestar) -> AsyncIterator[AsyncClient]:
    """With the admin's token."""
    async with client_of(app) as connected:
        yield connected


async def ask(app: Litestar, secret: str | None, method: str, path: str, reference: str) -> int:
    """The status of a request, with an empty object where it has a body; a stream ends with its first event."""
    parts = {"reference": reference, "file_path": "icon.svg", "token_id": "tok_none"}
    parts |= {"path": "x", "arm_id": "a", "name": "x", "decision": "0" * 32}
    parts |= {"guardrail": "error_rate", "report": "x"}
    body: dict[str, str] | None = {} if method in ("POST", "PATCH", "PUT") else None
    few = {"max_events": 1} if path.endswith("/live") else None
    async with client_of(app, secret) as client:
        answer = await client.request(method, path.format(**parts), json=body, params=few)
        if answer.status_code in REFUSED:
            problem(answer, HTTPStatus(answer.status_code))
    return answer.status_code


async def test_every_route_says_what_it_needs_and_few_are_open(app: Litestar) -> None:
    found = routes(app)
    assert {route for route, opt in found.items() if opt.get("public")} == OPEN
    silent = {
        route
        for route, opt in found.items()
        if route not in OPEN and not isinstance(opt.get("need"), Need)
    }
    assert silent == set()


async def test_each_role_passes_where_the_route_says_so_and_nowhere_else(
    app: Litestar, client: AsyncClient
) -> None:
    draft = await created(client)
    ranks = [Role.VIEWER, Role.OPERATOR, Role.ADMIN]
    for (method, path), opt in routes(app).items():
        need = opt.get("need")
        nobody = await ask(app, None, method, path, draft["id"])
        assert (nobody == HTTPStatus.UNAUTHORIZED) == isinstance(need, Need), (method, path)
        for role, secret in SECRETS.items():
            status = await ask(app, secret, method, path, draft["id"])
            if not isinstance(need, Need):
                assert status not in REFUSED, (method, path)
            elif role is Role.CALLER or ranks.index(role) < ranks.index(need.role):
                assert status == HTTPStatus.FORBIDDEN, (method, path, role)
            else:
                assert status not in REFUSED, (method, path, role)


async def test_a_viewer_changes_nothing(app: Litestar, client: AsyncClient) -> None:
    draft = await created(client)
    changing = {method for method, _ in routes(app)} - {"GET", "HEAD"}
    for method, path in routes(app):
        if method in changing and path != "/api/session":
            status = await ask(app, SECRETS[Role.VIEWER], method, path, draft["id"])
            assert status == HTTPStatus.FORBIDDEN, (method, path)
    assert (await client.get(f"/api/experiments/{draft['id']}")).json() == draft


async def test_a_token_of_one_experiment_knows_of_no_other(
    app: Litestar, client: AsyncClient
) -> None:
    mine, other = await created(client, arms=["a"]), await created(client, name="Other")
    made = await client.post(
        "/api/tokens", json={"name": "m", "role": "operator", "experiments": [mine["key"]]}
    )
    assert made.json()["experiments"] == [mine["id"]]
    secret = made.json()["token"]
    async with client_of(app, secret) as scoped:
        listed = (await scoped.get("/api/experiments")).json()["experiments"]
        hidden = await scoped.get(f"/api/experiments/{other['id']}")
        absent = await scoped.get("/api/experiments/exp_nothere12345")
    assert [each["id"] for each in listed] == [mine["id"]]
    for (method, path), opt in routes(app).items():
        need = opt.get("need")
        if "{reference}" in path and isinstance(need, Need):
            for reference in (other["id"], other["key"], "exp_nothere12345"):
                status = await ask(app, secret, method, path, reference)
                assert status == HTTPStatus.FORBIDDEN, (method, path)
            if need.role is not Role.ADMIN:
                assert await ask(app, secret, method, path, mine["key"]) not in {401, 403, 404}
        elif isinstance(need, Need) and not need.filtered:
            status = await ask(app, secret, method, path, "")
            assert status == HTTPStatus.FORBIDDEN, (method, path)
    assert hidden.json()["detail"].replace(other["id"], "") == absent.json()["detail"].replace(
        "exp_nothere12345", ""
    )


@pytest.mark.parametrize("token_id", ["tok_nothing", "%00", "a%20b", "exp_a"])
async def test_an_unknown_token_is_not_found(client: AsyncClient, token_id: str) -> None:
    answer = await client.delete(f"/api/tokens/{token_id}")
    assert problem(answer, HTTPStatus.NOT_FOUND) == {}


async def test_a_route_that_says_nothing_is_closed_to_everybody(app: Litestar) -> None:
    @get("/api/forgotten")
    async def forgotten() -> str:
        return "something"

    app.register(forgotten)
    assert await ask(app, ADMIN, "GET", "/api/forgotten", "") == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        "Basic YTpi",
        "Bearer pullarm_" + "x" * 43,
        ADMIN,
        "\xff",
    ],
)
async def test_what_is_no_token_is_refused_and_says_how(app: Litestar, header: str) -> None:
    async with client_of(app, None) as client:
        raw = [(b"Authorization", header.encode("latin-1"))]
        answer = await client.get("/api/experiments", headers=raw)
    assert problem(answer, HTTPStatus.UNAUTHORIZED) == {}
    assert answer.headers["www-authenticate"] == 'Bearer realm="pullarm"'


async def test_ten_thousand_random_tokens_are_all_refused(app: Litestar) -> None:
    drawn = random.Random(1)
    async with client_of(app, None) as client:
        for _ in range(10_000):
            secret = "".join(drawn.choices(ascii_letters, k=43))
            headers = {"Authorization": f"Bearer pullarm_{secret}"}
            answer = await client.get("/api/tokens", headers=headers)
            assert answer.status_code == HTTPStatus.UNAUTHORIZED


async def test_a_token_expires_and_is_revoked_at_once(
    app: Litestar, client: AsyncClient, clock: Clock
) -> None:
    body = {"name": "short", "role": "viewer", "expires_in_days": 1}
    short = (await client.post("/api/tokens", json=body)).json()
    long = (await client.post("/api/tokens", json={"name": "l", "role": "viewer"})).json()
    clock.now_ms += DAY_MS - 1
    async with client_of(app, short["token"]) as viewer:
        assert (await viewer.get("/api/session")).json() == {"name": "short", "role": "viewer"}
        clock.now_ms += 1
        assert (await viewer.get("/api/session")).status_code == HTTPStatus.UNAUTHORIZED
    async with client_of(app, long["token"]) as viewer:
        assert (await viewer.get("/api/session")).status_code == HTTPStatus.OK
        revoked = await client.delete(f"/api/tokens/{long['id']}")
        assert revoked.json()["revoked_by"] == "Test (tok_admin)"
        assert (await viewer.get("/api/session")).status_code == HTTPStatus.UNAUTHORIZED
    listed = (await client.get("/api/tokens")).json()["tokens"]
    assert {each["id"] for each in listed} == {long["id"], short["id"], "tok_admin"} | OTHERS
    assert not any("token" in each or "digest" in each for each in listed)


class AwayTokens(MemoryTokens):
    """Tokens in a store that can be away."""

    away = False

    async def of(self, digest: bytes, now_ms: int) -> Token | None:
        if self.away:
            raise Unavailable("PostgreSQL is away: refused")
        return await super().of(digest, now_ms)


async def test_who_was_known_stays_known_while_the_store_is_away(
    database: Database, board: RedisBoard, clock: Clock
) -> None:
    kept = AwayTokens()
    until = at(START_MS + DAY_MS)
    for number, secret in enumerate((ADMIN, SECRETS[Role.VIEWER], SECRETS[Role.OPERATOR])):
        principal = Principal(token_id=f"tok_{number}", name="Short", role=Role.ADMIN)
        one = Token(
            principal=principal, created_at=at(START_MS), created_by="test", expires_at=until
        )
        kept.add(one, digest(secret))
    app = app_over(database, board, clock, tokens=kept)
    async with client_of(app) as known, client_of(app, SECRETS[Role.VIEWER]) as unseen:
        async with client_of(app, SECRETS[Role.OPERATOR]) as revoked:
            for client in (known, revoked):
                assert (await client.get("/api/session")).status_code == HTTPStatus.OK
            await kept.revoke("tok_2", Author("test", "REST"), clock())
            assert (await revoked.get("/api/session")).status_code == HTTPStatus.UNAUTHORIZED
            kept.away = True
            for client in (unseen, revoked):
                assert (
                    problem(await client.get("/api/session"), HTTPStatus.SERVICE_UNAVAILABLE) == {}
                )
        assert (await known.get("/api/session")).status_code == HTTPStatus.OK
        clock.now_ms += DAY_MS
        assert (await known.get("/api/session")).status_code == HTTPStatus.UNAUTHORIZED
