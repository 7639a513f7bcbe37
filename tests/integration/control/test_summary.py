import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import pytest
from httpx import AsyncClient

from pullarm.domain.errors import Unavailable
from pullarm.domain.experiment import Experiment
from pullarm.domain.summary import Summary
from pullarm.statistics import wilson
from pullarm.storage.postgres import Database, PostgresLedger, PostgresStatistics, PostgresSummary
from pullarm.storage.redis import RedisBoard
from tests.control_api import Clock, app_over, client_of, created
from tests.ledger_events import START_MS, Events, batch


class Figures:
    """Summaries that count how often they are asked for, and answer when they are let."""

    def __init__(self, database: Database) -> None:
        self._summaries = PostgresSummary(database)
        self.asked = 0
        self.open = asyncio.Event()
        self.away = False

    async def of(self, experiment: Experiment) -> Summary:
        self.asked += 1
        await self.open.wait()
        if self.away:
            raise Unavailable("PostgreSQL is away: refused")
        return await self._summaries.of(experiment)


@pytest.fixture
def figures(database: Database) -> Figures:
    return Figures(database)


@pytest.fixture
async def counted(
    database: Database, board: RedisBoard, clock: Clock, figures: Figures
) -> AsyncIterator[AsyncClient]:
    """A client of a control plane over these figures."""
    async with client_of(app_over(database, board, clock, figures)) as connected:
        yield connected


async def asked(figures: Figures, times: int) -> None:
    async with asyncio.timeout(30):
        while figures.asked < times:
            await asyncio.sleep(0.005)


async def test_who_asks_at_once_shares_one_look_that_is_kept_for_a_second(
    counted: AsyncClient, figures: Figures, clock: Clock
) -> None:
    path, other = [f"/api/experiments/{(await created(counted))['id']}" for _ in range(2)]
    asking = [asyncio.create_task(counted.get(f"{path}/summary")) for _ in range(5)]
    await asked(figures, 1)
    clock.now_ms += 60_000  # however long it takes
    hung_up = asking.pop()
    hung_up.cancel()
    figures.open.set()
    answers = [(await task).json() for task in asking]
    as_of = datetime.fromtimestamp(START_MS / 1000, UTC).isoformat().replace("+00:00", "Z")
    assert [answer["as_of"] for answer in answers] == [as_of] * 4
    assert figures.asked == 1
    clock.now_ms += 999
    assert (await counted.get(f"{path}/summary")).json() == answers[0]
    assert figures.asked == 1
    await counted.get(f"{other}/summary")
    assert figures.asked == 2
    clock.now_ms += 1
    assert (await counted.get(f"{path}/summary")).json()["as_of"] > as_of
    assert figures.asked == 3


async def test_a_change_and_a_failure_are_looked_at_anew(
    counted: AsyncClient, figures: Figures
) -> None:
    figures.open.set()
    path = f"/api/experiments/{(await created(counted, policies='thompson,control'))['id']}"
    assert list((await counted.get(f"{path}/summary")).json()["policies"]) == [
        "control",
        "thompson",
    ]
    await counted.patch(path, json={"policies": "ucb,control"})
    figures.away = True
    away = await counted.get(f"{path}/summary")
    assert away.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    figures.away = False
    assert list((await counted.get(f"{path}/summary")).json()["policies"]) == ["control", "ucb"]
    assert figures.asked == 3


async def test_the_summary_counts_what_is_in_the_ledger(
    client: AsyncClient, database: Database, clock: Clock
) -> None:
    draft = await created(
        client, arms=["a"], policies="thompson,control", traffic_pct=0.8, duration=7
    )
    path = f"/api/experiments/{draft['id']}"
    await client.post(f"{path}/start")
    empty = (await client.get(f"{path}/summary")).json()
    assert empty["policies"]["thompson"] == {
        "share": 0.5,
        "users": 0,
        "serves": 0,
        "rewards": 0,
        "rate": None,
        "standard_error": None,
        "interval": None,
    }
    events = Events()
    tokens = [events.token(1, at_ms=START_MS + index) for index in range(8)]
    rewards = [events.reward(token) for token in tokens[:2]]
    decisions = [events.decision(token) for token in tokens]
    await PostgresLedger(database).fold(batch(*decisions, *rewards), START_MS)
    clock.now_ms += 1_000
    behind = (await client.get(f"{path}/summary")).json()
    assert behind["data_cut"] == {"fold_no": 0, "folds_behind": 1, "behind_since": empty["as_of"]}
    assert behind["policies"]["thompson"]["serves"] == 0
    await PostgresStatistics(database).catch_up(1)
    clock.now_ms += int(timedelta(days=1.5) / timedelta(milliseconds=1))
    summary = (await client.get(f"{path}/summary")).json()
    assert (summary["state"], summary["traffic_pct"]) == ("running", 0.8)
    assert (summary["days_running"], summary["duration_days"]) == (1.5, 7.0)
    assert summary["data_cut"] == {"fold_no": 1, "folds_behind": 0, "behind_since": None}
    assert summary["decisions"] == 8
    thompson = summary["policies"]["thompson"]
    assert (thompson["users"], thompson["serves"], thompson["rewards"]) == (8, 8, 2)
    assert thompson["rate"] == 0.25
    # Eight users with one serve each: sqrt(p (1 - p) / (n - 1)) with p = 1/4 and n = 8, and Wilson's interval of the
    # serves that have that error, 7
    assert thompson["standard_error"] == pytest.approx((0.1875 / 7) ** 0.5)
    assert thompson["interval"] == pytest.approx(list(wilson.interval(1.75, 7)))
    assert summary["policies"]["control"]["serves"] == 0
