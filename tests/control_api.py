"""The control plane's application for tests: over real stores, in the test's own event loop."""

from http import HTTPStatus
from pathlib import Path
from typing import Any

from httpx import ASGITransport, AsyncClient, Response
from litestar import Litestar

from control.app import Stores, create_app
from control.dashboard import find_web
from control.recommendations import Serving
from control.settings import Limits
from pullarm.domain.access import Principal, Role, Token, digest
from pullarm.domain.errors import Unavailable
from pullarm.domain.experiment import State
from pullarm.domain.intake import Backlog
from pullarm.domain.ports import BoardIndex, InstanceBoard
from pullarm.domain.publication import Head, Published
from pullarm.domain.summary import Summaries
from pullarm.storage.memory import MemoryInstances, MemoryTokens
from pullarm.storage.postgres import (
    Database,
    PostgresErasure,
    PostgresExperiments,
    PostgresGroups,
    PostgresLedger,
    PostgresTrail,
)
from pullarm.storage.postgres.guardrails import PostgresGuardrails
from pullarm.storage.postgres.readers import PostgresReaders
from pullarm.storage.postgres.times import at
from pullarm.storage.postgres.verdicts import PostgresVerdicts
from pullarm.storage.redis import RedisBoard
from tests.ledger_events import START_MS

ORIGINAL = {
    "name": "Bandit Test v1",
    "traffic_pct": 0.8,
    "default_policy": "thompson",
    "notes": "Production bandit experiment",
}
"""The body of the original platform's runbook."""


WEB = find_web()
NOTHING_WAITS = Backlog(entries=0, used_bytes=0, oldest_s=0.0)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms

    def monotonic(self) -> float:
        """The same clock for durations, in seconds."""
        return self.now_ms / 1000


ADMIN = "pullarm_" + "a" * 43


def administered() -> MemoryTokens:
    """Tokens with one that may do everything, whose secret is ADMIN."""
    tokens = MemoryTokens()
    principal = Principal(token_id="tok_admin", name="Test", role=Role.ADMIN)
    tokens.add(Token(principal=principal, created_at=at(START_MS), created_by=""), digest(ADMIN))
    return tokens


class AwayBoard:
    """A Redis that is away."""

    async def halt(self, number: int, state: State, guard_epoch: int = 0, note: str = "") -> None:
        raise Unavailable("Redis is away: refused")

    async def release(self, number: int, guard_epoch: int) -> None:
        raise Unavailable("Redis is away: refused")

    async def unhalt(self, number: int) -> None:
        raise Unavailable("Redis is away: refused")

    async def index(self) -> BoardIndex:
        raise Unavailable("Redis is away: refused")

    async def read(self, number: int, have: Head | None) -> Published | None:
        raise Unavailable("Redis is away: refused")

    async def ping(self) -> None:
        raise Unavailable("Redis is away: refused")


def app_over(
    database: Database,
    board: RedisBoard | AwayBoard,
    clock: Clock,
    summaries: Summaries | None = None,
    tokens: MemoryTokens | None = None,
    limits: Limits | None = None,
    upstream: Serving | None = None,
    *,
    web: Path | None = WEB,
    replays: Path | None = None,
    backlog: Backlog = NOTHING_WAITS,
    reading: Database | None = None,
    instances: InstanceBoard | None = None,
) -> Litestar:
    async def waiting() -> Backlog:
        return backlog

    tokens = tokens or administered()
    readers = PostgresReaders.of(reading or database)
    stores = Stores(
        experiments=PostgresExperiments(database),
        trail=PostgresTrail(database),
        erase=PostgresErasure(database).erase,
        groups=PostgresGroups(database),
        summaries=summaries or readers.summary,
        readers=readers,
        verdicts=PostgresVerdicts(database),
        halts=board,
        guardrails=PostgresGuardrails(database),
        tokens=tokens,
        sessions=tokens,
        probes={"postgresql": database.ping, "redis": board.ping},
        intake=PostgresLedger(database).intake,
        backlog=waiting,
        instances=instances or MemoryInstances(clock.monotonic),
        upstream=upstream or Serving("127.0.0.1:1"),  # where nobody listens
        replays=replays,
    )
    return create_app(
        stores,
        clock=clock,
        monotonic=clock.monotonic,
        access_clock=clock,
        limits=limits,
        web=web,
    )


def client_of(app: Litestar, secret: str | None = ADMIN) -> AsyncClient:
    """In the test's own event loop, which the stores' connections belong to; None: without a token."""
    asgi: Any = app  # the two libraries type the same protocol differently
    headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
    return AsyncClient(transport=ASGITransport(asgi), base_url="http://control", headers=headers)


async def created(client: AsyncClient, **fields: object) -> dict[str, Any]:
    """A new draft as the API answers it."""
    answer = await client.post("/api/experiments", json={"name": "Test", **fields})
    assert answer.status_code == HTTPStatus.CREATED, answer.text
    body: dict[str, Any] = answer.json()
    return body


def problem(answer: Response, status: HTTPStatus) -> dict[str, str]:
    """The problems by field of a problem document, which it also checks."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    return {each["field"]: each["detail"] for each in answer.json()["problems"]}
