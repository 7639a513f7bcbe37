"""Policies compared over REST: in parts of an experiment, over its own baseline, and how users were split."""

from datetime import UTC, datetime, timedelta
from math import exp
from random import Random

import pytest
from httpx import AsyncClient

from pullarm.storage.postgres import Database, PostgresLedger, PostgresStatistics
from tests.control_api import Clock
from tests.integration.control.analytics_scene import CONTROL, AnalyticsScene, analytics_scene
from tests.ledger_events import HOUR_MS, START_MS, THOMPSON, Events, batch

START = datetime.fromtimestamp(START_MS / 1000, UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
async def scene(client: AsyncClient, database: Database, clock: Clock) -> AnalyticsScene:
    return await analytics_scene(client, database, clock)


def said(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


async def test_users_are_tested_against_the_shares_of_their_own_epoch(
    scene: AnalyticsScene, database: Database
) -> None:
    await scene.client.patch(
        scene.path, json={"policies": [{"name": "thompson", "weight": 3}, "control"]}
    )
    make = Events(Random(2))
    at_ms = START_MS + 2 * HOUR_MS
    policies = [THOMPSON] * 3 + [CONTROL]
    tokens = [make.token(1, at_ms=at_ms, acting=each, arms=[1]) for each in policies]
    second = [make.decision(token._replace(allocation_epoch=2)) for token in tokens]
    await PostgresLedger(database).fold(batch(*second), at_ms)
    await PostgresStatistics(database).catch_up(1)
    ratio = (await scene.get("/allocation"))["sample_ratio"]
    assert ratio["users"] == {"control": 3, "thompson": 7}
    assert ratio["expected"] == {"control": 0.4, "thompson": 0.6}  # half of six, a quarter of four
    # The second epoch's users are split just so, and add a degree of freedom: 2/3 with two of them.
    assert ratio["p_value"] == pytest.approx(exp(-1 / 3))


async def test_lifts_are_over_the_baseline_that_the_experiment_names(
    scene: AnalyticsScene,
) -> None:
    await scene.client.patch(scene.path, json={"decision": {"baseline": "thompson"}})
    found = (await scene.get("/regret"))["policies"]
    assert found["control"]["lift"]["value"] == pytest.approx(0.0)
    assert found["thompson"]["lift"] is None
    for route in ("/regret", "/cohorts", "/summary"):
        assert (await scene.get(route, policy="control"))["baseline"] == "thompson"
    assert list((await scene.get("/regret", policy="control"))["policies"]) == ["control"]


async def test_a_summary_of_a_part(scene: AnalyticsScene) -> None:
    whole = await scene.get("/summary")
    assert whole["policies"]["thompson"]["serves"] == 4
    later = await scene.get("/summary", since=said(START + HOUR))
    assert (later["since"], later["until"]) == (said(START + HOUR), said(START + 3 * HOUR))
    assert {name: found["serves"] for name, found in later["policies"].items()} == {
        "control": 1,
        "thompson": 2,
    }
    regret = await scene.get("/regret", since=said(START + HOUR))
    of_regret = regret["policies"]["thompson"]
    assert later["policies"]["thompson"].items() <= of_regret.items()
    cohort = await scene.get("/summary", cohort=1)
    assert [(name, found["serves"]) for name, found in cohort["policies"].items()] == [
        ("thompson", 3)
    ]
    arm = await scene.get("/summary", arm="a", policy="thompson")
    assert [(name, found["rate"]) for name, found in arm["policies"].items()] == [("thompson", 0.5)]
    assert arm["policies"]["thompson"]["interval"] is None
    assert "by arm" in arm["interval_note"]
