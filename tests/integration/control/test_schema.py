"""What the OpenAPI document says holds, whatever is sent: nothing fails, and every answer is one that it describes."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings, strategies
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from control.server import bind
from control.settings import Limits
from pullarm.storage.postgres import Database
from pullarm.storage.redis import RedisBoard, connect
from tests.control_api import ADMIN, Clock, app_over, client_of, created
from tests.integration.control.analytics_scene import analytics_scene
from tests.services import empty_redis, fresh_database

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
PATIENCE_S = 60.0  # the first decision that is explained waits for compiled code to be loaded
ROLES = ("admin", "operator", "viewer", "stranger", "nobody")


@dataclass
class Api:
    """A control plane that answers on a port, with an experiment in it."""

    url: str
    key: str
    uid: str
    secrets: dict[str, str]

    def headers(self, role: str) -> dict[str, str]:
        """A `stranger` has a token of another experiment, `nobody` none."""
        return {"Authorization": f"Bearer {self.secrets[role]}"} if role in self.secrets else {}

    def document(self) -> Any:
        """The OpenAPI document as it is served."""
        answer = httpx.get(
            f"{self.url}/schema/openapi.json", headers=self.headers("admin"), timeout=PATIENCE_S
        )
        schema = schemathesis.openapi.from_dict(answer.json())
        schema.config.update(base_url=self.url)
        return schema

    def ask(self, case: Any, role: str, *, at_random: bool = False) -> int:
        """Ask what a case asks, of what there is unless `at_random`; the answer's status, once it was checked."""
        if not at_random:
            named = {"reference": self.key, "arm_id": "a", "decision": self.uid}
            named |= {"guardrail": "error_rate"}
            case.path_parameters = {
                name: named.get(name, value) for name, value in case.path_parameters.items()
            }
        if case.operation.path.endswith("/live"):  # which would go on for a quarter of an hour
            case.query = {**case.query, "max_events": "1"}
        answer = case.call(headers=self.headers(role), timeout=PATIENCE_S)
        case.validate_response(answer, checks=CHECKS)
        return int(answer.status_code)


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """Not in a thread."""


@pytest.fixture(scope="module")
def api(services: dict[str, str]) -> Iterator[Api]:
    """In a thread and an event loop of its own: schemathesis asks without one."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    made: list[Api] = []
    done = asyncio.Event()
    thread = threading.Thread(
        target=lambda: loop.run_until_complete(_serve(services, made, ready, done))
    )
    thread.start()
    try:
        assert ready.wait(2 * PATIENCE_S)
        yield made[0]
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(2 * PATIENCE_S)
        loop.close()


async def _serve(
    services: dict[str, str], made: list[Api], ready: threading.Event, done: asyncio.Event
) -> None:
    try:
        await empty_redis(services["REDIS_URL"])
        redis = connect(services["REDIS_URL"])
        async with fresh_database(services["DATABASE_URL"]) as url, Database(url) as database:
            clock = Clock()
            app = app_over(
                database, RedisBoard(redis), clock, limits=Limits(per_address=0, per_token=0)
            )
            async with client_of(app) as client:
                scene = await analytics_scene(client, database, clock)
                other = await created(client, name="Other")
                secrets = {"admin": ADMIN}
                for role in ROLES[1:4]:
                    body: dict[str, object] = {"name": role, "role": role}
                    if role == "stranger":
                        body |= {"role": "operator", "experiments": [other["id"]]}
                    token = await client.post("/api/tokens", json=body)
                    secrets[role] = token.json()["token"]
            with bind("127.0.0.1", 0) as listening:
                config = uvicorn.Config(app, log_config=None, log_level="warning", access_log=False)
                server = _Server(config)
                serving = asyncio.create_task(server.serve(sockets=[listening]))
                address = f"http://127.0.0.1:{listening.getsockname()[1]}"
                made.append(Api(address, scene.id, scene.tokens[0].uid.hex(), secrets))
                ready.set()
                await done.wait()
                server.should_exit = True
                await serving
        await redis.aclose()
    finally:
        ready.set()


@dataclass
class Operation:
    """What may be asked of one route, with the cases that were drawn for it."""

    label: str
    cases: list[Any]
    at_random: set[int]
    """Indices of cases that name what is not there, mostly."""


@pytest.fixture(scope="module")
def operations(api: Api) -> list[Operation]:
    """Drawn once for all roles, because drawing takes as long as asking."""
    return [_drawn(found.ok()) for found in api.document().get_all_operations()]


def _drawn(operation: Any) -> Operation:
    drawn = Operation(operation.label, [], set())
    if operation.method == "get":  # without any parameter, which is never at random
        names = {parameter.name: "x" for parameter in operation.path_parameters}
        drawn.cases.append(operation.Case(path_parameters=names))

    @settings(EXAMPLES, max_examples=6)
    @given(case=operation.as_strategy(), dice=strategies.integers(0, 3))
    def draw(case: Any, dice: int) -> None:
        if not dice:
            drawn.at_random.add(len(drawn.cases))
        drawn.cases.append(case)

    draw()
    return drawn


@pytest.mark.parametrize("role", ROLES)
def test_every_answer_is_as_described(api: Api, operations: list[Operation], role: str) -> None:
    """All cases for the admin; of the others two, since what they may not do is refused whatever is sent."""
    statuses = {
        operation.label: {
            api.ask(case, role, at_random=number in operation.at_random)
            for number, case in enumerate(operation.cases[: None if role == "admin" else 2])
        }
        for operation in operations
    }
    fine = {label for label, seen in statuses.items() if min(seen) < HTTPStatus.BAD_REQUEST}
    reads = {label for label in statuses if label.startswith("GET /api/experiments/")}
    public = {"GET /healthz", "GET /readyz", "POST /api/session", "DELETE /api/session"}
    if role in ("admin", "operator"):
        assert reads <= fine
    elif role == "viewer":
        assert all(label in fine or statuses[label] == {HTTPStatus.FORBIDDEN} for label in reads)
        assert not {label for label in fine - public if not label.startswith("GET ")}
    elif role == "stranger":
        assert not reads & fine
    else:
        assert fine <= public


def test_what_was_answered_can_be_asked_for(api: Api) -> None:
    """Chains of calls, each made of answers to the ones before."""

    def before_call(machine: object, case: Any) -> None:
        if case.operation.path.endswith("/live"):
            case.query = {**case.query, "max_events": "1"}

    def headers(machine: object, case: object) -> dict[str, Any]:
        return {"headers": api.headers("admin"), "timeout": PATIENCE_S}

    def validate(machine: object, response: object, case: Any, **options: object) -> None:
        case.validate_response(response, checks=CHECKS)

    chains: Any = type(
        "Chains",
        (api.document().as_state_machine(),),
        {
            "before_call": before_call,
            "get_call_kwargs": headers,
            "validate_response": validate,
        },
    )
    chains.run(settings=settings(EXAMPLES, max_examples=10, stateful_step_count=6))
