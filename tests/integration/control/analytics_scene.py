"""A running experiment with a little history, behind the control plane's API."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from httpx import AsyncClient

from pullarm.domain.decision import NO_POLICY, Reason, ServingMinute, Token
from pullarm.statistics.sketch import LatencySketch
from pullarm.storage.postgres import Database, PostgresLedger, PostgresStatistics
from tests.control_api import Clock, created
from tests.ledger_events import HOUR_MS, START_MS, THOMPSON, Events, batch

CONTROL = 1
MINUTE = START_MS // 60_000


@dataclass
class AnalyticsScene:
    """Two hours of it: thompson served four units, two of which it pleased, and control two, of which one."""

    client: AsyncClient
    path: str
    id: str
    tokens: list[Token]
    """Oldest first; the last one was outside the traffic."""

    async def get(self, what: str, **params: object) -> dict[str, Any]:
        """What one of its routes answers."""
        answer = await self.client.get(f"{self.path}{what}", params=_texts(params))
        assert answer.status_code == HTTPStatus.OK, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def refused(self, what: str, status: HTTPStatus, **params: object) -> list[str]:
        """The parameters at fault."""
        answer = await self.client.get(f"{self.path}{what}", params=_texts(params))
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"].startswith("application/problem+json")
        return [each["field"] for each in answer.json()["problems"]]


async def analytics_scene(client: AsyncClient, database: Database, clock: Clock) -> AnalyticsScene:
    """The first experiment of an empty database, three hours after its start."""
    draft = await created(client, arms=["a", "b", "c"], policies="thompson,control")
    path = f"/api/experiments/{draft['id']}"
    await client.post(f"{path}/start")
    make = Events()
    shown = [(THOMPSON, 1, 0), (THOMPSON, 1, 0), (CONTROL, 2, 0), (THOMPSON, 2, 1)]
    shown += [(CONTROL, 1, 1), (THOMPSON, 3, 1)]
    tokens = [
        make.token(1, at_ms=START_MS + hour * HOUR_MS + 1_000 * n, acting=policy, arms=[arm])
        for n, (policy, arm, hour) in enumerate(shown)
    ]
    tokens = [token._replace(cohort=n % 2) for n, token in enumerate(tokens)]
    outside = make.token(
        1, at_ms=START_MS + HOUR_MS + 30_000, acting=NO_POLICY, reason=Reason.NOT_IN_TRAFFIC
    )
    tokens.append(outside)
    rewards = [make.reward(tokens[n]) for n in (0, 2, 3)]
    decisions = [
        make.decision(token)._replace(unit=f"user-{n}", bucket=n) for n, token in enumerate(tokens)
    ]
    events = batch(*decisions, *rewards)
    minutes = [
        _minute(THOMPSON, 0, "p", [1.0] * 19),
        _minute(THOMPSON, 0, "q", [200.0]),
        _minute(CONTROL, 61, "p", [2.0]),
    ]
    clock.now_ms = START_MS + 3 * HOUR_MS
    await PostgresLedger(database).fold(events._replace(minutes=minutes), clock.now_ms)
    await PostgresStatistics(database).catch_up(1)
    return AnalyticsScene(client, path, draft["id"], tokens)


def _minute(policy: int, after: int, process: str, latencies: list[float]) -> ServingMinute:
    sketch = LatencySketch()
    for ms in latencies:
        sketch.add(ms)
    return ServingMinute(
        process=process,
        sequence=1,
        experiment=1,
        policy=policy,
        minute=MINUTE + after,
        calls=len(latencies),
        errors=0,
        over_100ms=sketch.above(100.0),
        over_120ms=sketch.above(120.0),
        sketch=dict(sketch.counts),
    )


def _texts(params: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in params.items()}
