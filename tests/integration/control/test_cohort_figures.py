"""Figures of cohorts over REST, with enough serves to be told: names, intervals, lifts, how unequal they are."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from random import Random

import numpy as np
import pytest
from httpx import AsyncClient

from pullarm.domain.rollup import Span
from pullarm.statistics.cohorts import variation
from pullarm.statistics.jackknife import log_lift, rate
from pullarm.storage.postgres import (
    Database,
    PostgresLedger,
    PostgresStatistics,
    PostgresUserGroups,
)
from tests.control_api import Clock, created
from tests.integration.control.analytics_scene import CONTROL, AnalyticsScene
from tests.ledger_events import HOUR_MS, START_MS, THOMPSON, Event, Events, batch

START = datetime.fromtimestamp(START_MS / 1000, UTC)
DAY = Span(since=START, until=START + timedelta(days=1))
SERVES = 2_000
FEW = 10


@pytest.fixture
async def scene(client: AsyncClient, database: Database, clock: Clock) -> AnalyticsScene:
    """Ages 18 (cohort 1) and 25 (2) with enough serves under both policies, and a few of age 50 (3)."""
    rule = {"attribute": "age", "values": ["18", "25", "fifty"]}
    draft = await created(client, arms=["a"], policies="thompson,control", cohorts=rule)
    path = f"/api/experiments/{draft['id']}"
    await client.post(f"{path}/start")
    make, random = Events(), Random(5)
    events: list[Event] = []
    for policy, cohort, serves, pays in (
        (THOMPSON, 1, SERVES, 0.3),
        (THOMPSON, 2, SERVES, 0.1),
        (CONTROL, 1, SERVES, 0.2),
        (CONTROL, 2, SERVES, 0.2),
        (THOMPSON, 3, FEW, 0.2),
    ):
        for n in range(serves):
            at_ms = START_MS + (n % 20) * HOUR_MS // 4 + n
            token = make.token(1, at_ms=at_ms, acting=policy)._replace(cohort=cohort)
            events.append(make.decision(token))
            if random.random() < pays:
                events.append(make.reward(token))
    clock.now_ms = START_MS + 6 * HOUR_MS
    await PostgresLedger(database).fold(batch(*events), clock.now_ms)
    await PostgresStatistics(database).catch_up(1)
    return AnalyticsScene(client, path, draft["id"], [])


async def test_named_with_intervals_lifts_and_variation_once_there_is_enough(
    scene: AnalyticsScene, database: Database
) -> None:
    found = await scene.get("/cohorts")
    rows = {(row["policy"], row["value"]): row for row in found["cohorts"]}
    assert {row["attribute"] for row in found["cohorts"]} == {"age"}
    sums = await PostgresUserGroups(database).cohorts(1, DAY)
    for (name, value), place in {
        ("thompson", "18"): (THOMPSON, 1),
        ("thompson", "25"): (THOMPSON, 2),
        ("control", "18"): (CONTROL, 1),
    }.items():
        row, told = rows[name, value], rate(sums[place])
        assert told is not None
        assert (row["serves"], row["rate"], row["withheld"]) == (SERVES, told.value, False)
        assert row["interval"] == pytest.approx(list(told.interval))
    few = rows["thompson", "fifty"]
    assert (few["serves"], few["rate"], few["interval"], few["withheld"]) == (FEW, None, None, True)
    lift = log_lift(sums[THOMPSON, 2], sums[CONTROL, 2])
    assert lift is not None
    shown = rows["thompson", "25"]["lift"]
    assert shown["value"] == pytest.approx(lift.lift)
    assert shown["interval"] == pytest.approx(list(lift.interval()))
    assert shown["interval"][1] < 0 < rows["thompson", "18"]["lift"]["interval"][0]
    assert rows["control", "18"]["lift"] is None
    control, thompson = found["fairness"]
    rates = [rate(sums[THOMPSON, cohort]) for cohort in (1, 2)]
    expected = variation(
        [each.value for each in rates if each], [each.error or np.nan for each in rates if each]
    )
    assert (thompson["cohorts"], thompson["q"]) == (2, pytest.approx(expected.q))
    assert thompson["corrected_cv"] == pytest.approx(expected.corrected)
    assert (thompson["naive_cv"], thompson["p_value"]) == pytest.approx(
        (expected.naive, expected.p)
    )
    assert thompson["p_value"] < 1e-6  # 0.3 and 0.1 are apart, control's two cohorts are not
    assert control["corrected_cv"] < thompson["corrected_cv"]


async def test_a_cohort_is_asked_for_by_value_attribute_or_number(scene: AnalyticsScene) -> None:
    by_number = await scene.get("/regret", cohort=2)
    assert await scene.get("/regret", cohort="age:25") == by_number
    assert by_number["policies"]["thompson"]["lift"]["interval"][1] < 0
    assert by_number["best"] == "control"
    fifty = await scene.get("/cohorts", cohort="fifty")
    assert [row["cohort"] for row in fifty["cohorts"]] == [3]
    assert len(fifty["fairness"]) == 2
    events = await scene.get("/events", cohort="fifty")
    assert {event["cohort"] for event in events["events"]} == {3}
    assert len(events["events"]) == FEW
    points = await scene.get("/timeseries", cohort="age:18")
    (day,) = points["policies"]["thompson"]
    assert day["interval"][0] < day["rate"] < day["interval"][1]
    unknown = HTTPStatus.UNPROCESSABLE_ENTITY
    assert await scene.refused("/events", unknown, cohort="age:99") == ["cohort"]
    assert await scene.refused("/events", unknown, cohort="25") == ["cohort"]  # which is no number


async def test_cohorts_of_an_attribute_gone_by_earlier_are_named_and_not_compared(
    scene: AnalyticsScene,
) -> None:
    await scene.client.patch(scene.path, json={"cohorts": "country"})
    found = await scene.get("/cohorts")
    assert {row["attribute"] for row in found["cohorts"]} == {"age"}
    assert [each["cohorts"] for each in found["fairness"]] == [0, 0]
