from http import HTTPStatus

import pytest
from litestar import Litestar, get
from litestar.params import FromPath
from litestar.testing import TestClient

from control.problems import HANDLERS, STATUSES
from pullarm.domain import errors
from pullarm.domain.errors import Conflict, InvalidInput, PullarmError, Unavailable


def domain_errors() -> list[type[PullarmError]]:
    found = (getattr(errors, name) for name in dir(errors))
    return [each for each in found if isinstance(each, type) and issubclass(each, PullarmError)]


@pytest.mark.parametrize("error", domain_errors())
def test_every_domain_error_has_a_status(error: type[PullarmError]) -> None:
    assert error.code in STATUSES


def test_every_status_belongs_to_a_domain_error() -> None:
    assert set(STATUSES) == {error.code for error in domain_errors()}


@get("/raise/{name:str}")
async def fail(name: FromPath[str]) -> None:
    raised: dict[str, Exception] = {
        "invalid": InvalidInput(errors.Problem("a", "wrong"), errors.Problem("b.c", "worse")),
        "conflict": Conflict("no"),
        "away": Unavailable("PostgreSQL is away: refused"),
        "ours": errors.Refused("secret detail"),
        "unexpected": RuntimeError("secret detail"),
    }
    raise raised[name]


@pytest.fixture(scope="module")
def client() -> TestClient[Litestar]:
    app = Litestar([fail], exception_handlers=HANDLERS, openapi_config=None, logging_config=None)
    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/raise/invalid", HTTPStatus.UNPROCESSABLE_ENTITY, "a: wrong; b.c: worse"),
        ("/raise/conflict", HTTPStatus.CONFLICT, "no"),
        ("/raise/away", HTTPStatus.SERVICE_UNAVAILABLE, "PostgreSQL is away: refused"),
        ("/nowhere", HTTPStatus.NOT_FOUND, "GET /nowhere: Not Found"),
    ],
)
def test_errors_are_problem_documents(
    client: TestClient[Litestar], path: str, status: HTTPStatus, detail: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("application/problem+json")
    body = answer.json()
    assert body["status"] == status
    assert body["title"] == status.phrase
    assert body["detail"] == detail


def test_fields_at_fault_are_listed(client: TestClient[Litestar]) -> None:
    assert client.get("/raise/invalid").json()["problems"] == [
        {"field": "a", "detail": "wrong"},
        {"field": "b.c", "detail": "worse"},
    ]


def test_a_wrong_method_names_the_right_ones(client: TestClient[Litestar]) -> None:
    answer = client.post("/raise/conflict")
    assert answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert "GET" in answer.headers["allow"]


def test_who_is_told_to_wait_is_told_how_long(client: TestClient[Litestar]) -> None:
    assert int(client.get("/raise/away").headers["retry-after"]) > 0


@pytest.mark.parametrize("name", ["ours", "unexpected"])
def test_faults_of_ours_are_logged_and_not_told(
    client: TestClient[Litestar], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    answer = client.get(f"/raise/{name}")
    assert answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert "secret detail" in caplog.text
