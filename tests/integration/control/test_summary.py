from datetime import timedelta

import pytest
from httpx import AsyncClient

from pullarm.storage.postgres import Database, PostgresLedger
from tests.control_api import Clock, created
from tests.ledger_events import START_MS, Events, batch


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
    clock.now_ms += int(timedelta(days=1.5) / timedelta(milliseconds=1))
    summary = (await client.get(f"{path}/summary")).json()
    assert (summary["state"], summary["traffic_pct"]) == ("running", 0.8)
    assert (summary["days_running"], summary["duration_days"]) == (1.5, 7.0)
    assert summary["decisions"] == 8
    thompson = summary["policies"]["thompson"]
    assert (thompson["users"], thompson["serves"], thompson["rewards"]) == (8, 8, 2)
    assert thompson["rate"] == 0.25
    # sqrt(p (1 - p) / (n - 1)) with p = 1/4 and n = 8, and Wilson's interval of 2 in 8
    assert thompson["standard_error"] == pytest.approx((0.1875 / 7) ** 0.5)
    assert thompson["interval"] == pytest.approx([0.0715, 0.5907], abs=1e-4)
    assert summary["policies"]["control"]["serves"] == 0
