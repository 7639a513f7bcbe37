"""Figures of an experiment over REST: each route's figures, its filters, and what it says it cannot tell."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import pytest
from httpx import AsyncClient

from pullarm.domain.decision import Batch, ServingMinute
from pullarm.statistics import wilson
from pullarm.storage.postgres import Database, PostgresLedger
from pullarm.storage.postgres.latency import PostgresLatency
from tests.control_api import Clock
from tests.integration.control.analytics_scene import (
    MINUTE,
    AnalyticsScene,
    analytics_scene,
)
from tests.ledger_events import START_MS, THOMPSON

_SUMS = (
    f"""INSERT INTO arm_rate_head
    VALUES (1, uid_floor(to_timestamp({START_MS} / 1000)), 1, to_timestamp({START_MS} / 1000 + 3600))""",
    "INSERT INTO arm_rate_day VALUES (1, 20374, 400, 1, 2, 3, 4)",
    """INSERT INTO arm_rate VALUES
    (1, 1, 2, 1, 20373, 9, 9, 9, 9, 9, 9, 9, 9, 9),
    (1, 1, 2, 1, 20374, 400, 100, 60, 20000000, 100, 25, 40, 10, 20),
    (1, 1, 2, 2, 20374, 400, 50, 10, 5000000, 100, 25, 40, 10, 20),
    (1, 1, 2, 3, 20374, 400, 0, 0, 0, 100, 25, 40, 10, 20)""",
)
"""Of the first experiment: up to its start, where an hour more was mature."""

START = datetime.fromtimestamp(START_MS / 1000, UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
async def scene(client: AsyncClient, database: Database, clock: Clock) -> AnalyticsScene:
    return await analytics_scene(client, database, clock)


def said(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


async def test_timeseries_by_bucket_and_cumulated(scene: AnalyticsScene) -> None:
    hours = await scene.get("/timeseries", grain="hour")
    assert (hours["grain"], hours["since"], hours["until"]) == (
        "hour",
        said(START),
        said(START + 3 * HOUR),
    )
    assert hours["data_cut"]["folds_behind"] == 0
    assert hours["maturity"] == {
        "mature_before": said(START - 22 * HOUR),
        "serves": 6,
        "not_mature": 6,
    }
    first, second = hours["policies"]["thompson"]
    assert (first["at"], first["serves"], first["rewarded"], first["rate"]) == (
        said(START),
        2,
        1,
        0.5,
    )
    assert (second["serves"], second["cumulative_serves"], second["cumulative_reward"]) == (2, 4, 2)
    assert (second["cumulative_rate"], second["mature"]) == (0.5, False)
    # Two users, worth one independent trial; with the two that follow, three. Half of them earned.
    assert first["interval"] == pytest.approx(list(wilson.interval(0.5, 1)))
    assert first["cumulative_interval"] == first["interval"]
    assert second["cumulative_interval"] == pytest.approx(list(wilson.interval(1.5, 3)))
    assert "groups of users" in hours["interval_note"]
    # The finest buckets that fit are the default; users are not told apart by minutes.
    minutes = await scene.get("/timeseries")
    assert minutes["grain"] == "minute"
    assert minutes["policies"]["thompson"][0]["interval"] is None
    assert "hours and days" in minutes["interval_note"]
    assert (await scene.get("/timeseries", until=said(START + 100 * HOUR)))["grain"] == "hour"


async def test_timeseries_by_policy_arm_and_cohort(scene: AnalyticsScene) -> None:
    only = await scene.get("/timeseries", policy="control", grain="hour")
    assert list(only["policies"]) == ["control"]
    arm = await scene.get("/timeseries", arm="b")
    assert arm["grain"] == "hour"
    assert {name: [p["serves"] for p in found] for name, found in arm["policies"].items()} == {
        "control": [1],
        "thompson": [1],
    }
    cohort = await scene.get("/timeseries", cohort=1)
    assert cohort["grain"] == "day"
    assert {name: [p["serves"] for p in found] for name, found in cohort["policies"].items()} == {
        "thompson": [3]
    }
    (day,) = cohort["policies"]["thompson"]
    assert day["interval"][0] < 1 / 3 < day["interval"][1]
    later = await scene.get("/timeseries", since=said(START + HOUR), grain="hour")
    assert [p["serves"] for p in later["policies"]["thompson"]] == [2]


@pytest.mark.parametrize(
    ("what", "params", "status", "field"),
    [
        ("/timeseries", {"bucket": 5}, HTTPStatus.BAD_REQUEST, "bucket"),
        ("/timeseries", {"arm": "a", "cohort": 0}, HTTPStatus.BAD_REQUEST, "cohort"),
        ("/timeseries", {"arm": "z"}, HTTPStatus.UNPROCESSABLE_ENTITY, "arm"),
        ("/timeseries", {"arm": "a", "grain": "minute"}, HTTPStatus.UNPROCESSABLE_ENTITY, "grain"),
        ("/timeseries", {"since": "yesterday"}, HTTPStatus.BAD_REQUEST, "since"),
        ("/timeseries", {"since": "99999"}, HTTPStatus.BAD_REQUEST, "since"),
        ("/events", {"until": "2025-10-14 to"}, HTTPStatus.BAD_REQUEST, "until"),
        ("/guardrails/error_rate", {"before": "now"}, HTTPStatus.BAD_REQUEST, "before"),
        (
            "/timeseries",
            {"since": "0001-01-01T00:00:00+23:00"},
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "since",
        ),
        (
            "/timeseries",
            {"since": "2000-01-01T00:00:00Z", "grain": "minute"},
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "grain",
        ),
        (
            "/regret",
            {"since": "2020-01-02T00:00:00Z", "until": "2020-01-01T00:00:00Z"},
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "until",
        ),
        ("/summary", {"bucket": 5}, HTTPStatus.BAD_REQUEST, "bucket"),
        ("/summary", {"arm": "a", "cohort": 0}, HTTPStatus.BAD_REQUEST, "cohort"),
        ("/arms", {"cohort": 1}, HTTPStatus.BAD_REQUEST, "cohort"),
        ("/cohorts", {"arm": "a"}, HTTPStatus.BAD_REQUEST, "arm"),
        ("/cohorts", {"cohort": "young"}, HTTPStatus.UNPROCESSABLE_ENTITY, "cohort"),
        ("/latency", {"arm": "a"}, HTTPStatus.BAD_REQUEST, "arm"),
        ("/allocation", {"policy": "ucb"}, HTTPStatus.BAD_REQUEST, "policy"),
        ("/epochs", {"since": "2020-01-02T00:00:00Z"}, HTTPStatus.BAD_REQUEST, "since"),
        ("/policies", {"policy": "best"}, HTTPStatus.BAD_REQUEST, "policy"),
        ("/events", {"grain": "hour"}, HTTPStatus.BAD_REQUEST, "grain"),
        ("/events", {"bucket": 10_000}, HTTPStatus.BAD_REQUEST, "bucket"),
        ("/export", {"format": "xml"}, HTTPStatus.BAD_REQUEST, "format"),
        ("", {"epoch": 1}, HTTPStatus.BAD_REQUEST, "epoch"),
        ("/guardrails", {"policy": "ucb"}, HTTPStatus.BAD_REQUEST, "policy"),
        ("/guardrails/error_rate", {"after": 1}, HTTPStatus.BAD_REQUEST, "after"),
        ("/decisions", {"day": 1}, HTTPStatus.BAD_REQUEST, "day"),
        ("/audit", {"since": "2020-01-02T00:00:00Z"}, HTTPStatus.BAD_REQUEST, "since"),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_name(
    scene: AnalyticsScene, what: str, params: dict[str, object], status: HTTPStatus, field: str
) -> None:
    assert await scene.refused(what, status, **params) == [field]


@pytest.mark.parametrize(
    "since",
    [
        "2025-10-14T01:00:00Z",
        "2025-10-14T03:00:00%2B02:00",
        "2025-10-14T03:00:00+02:00",  # a blank, to whoever reads queries
        "2025-10-14 01:00",
    ],
)
async def test_a_moment_is_understood_as_people_write_it(scene: AnalyticsScene, since: str) -> None:
    answer = await scene.client.get(f"{scene.path}/events?since={since}")
    assert [event["unit"] for event in answer.json()["events"]] == [
        f"user-{n}" for n in (6, 5, 4, 3)
    ]
    whole = await scene.client.get(f"{scene.path}/events?since=2025-10-14&until=2025-10-15")
    assert len(whole.json()["events"]) == len(scene.tokens)


async def test_a_filter_that_is_given_twice_is_refused(scene: AnalyticsScene) -> None:
    answer = await scene.client.get(f"{scene.path}/regret?policy=thompson&policy=control")
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert [each["field"] for each in answer.json()["problems"]] == ["policy"]


async def test_arms_under_each_policy(scene: AnalyticsScene) -> None:
    listed = await scene.get("/arms")
    assert [arm["id"] for arm in listed["arms"]] == ["a", "b", "c"]
    assert "naive" in listed["rate_note"]
    a, b, _ = (arm["figures"] for arm in listed["arms"])
    assert [(f["policy"], f["serves"], f["share"], f["naive_rate"]) for f in a] == [
        ("control", 1, 0.5, 0.0),
        ("thompson", 2, 0.5, 0.5),
    ]
    assert [(f["policy"], f["rewarded"]) for f in b] == [("control", 1), ("thompson", 1)]
    one = await scene.get("/arms", arm="a", policy="thompson", since=said(START + HOUR))
    assert [(arm["id"], arm["figures"]) for arm in one["arms"]] == [("a", [])]


async def test_arms_have_adaptively_valid_rates_beside_the_naive_ones(
    scene: AnalyticsScene, database: Database
) -> None:
    """Sums as the workers keep them: tests/integration/test_arm_rates.py has them from decisions."""
    before = await scene.get("/arms")
    assert [arm["rates"] for arm in before["arms"]] == [[], [], []]
    assert before["adaptive_cut"]["decided_before"] is None
    assert (before["adaptive_cut"]["decisions"], before["adaptive_cut"]["behind_s"]) == (0, 0.0)
    async with database.connection() as connection:
        for statement in _SUMS:
            await connection.execute(statement)
    listed = await scene.get("/arms")
    cut = listed["adaptive_cut"]
    assert (cut["decided_before"], cut["behind_s"], cut["decisions"]) == (said(START), 3_600.0, 400)
    assert cut["left_out"] == {"hashed": 1, "other_kernel": 2, "unpublished": 3, "differing": 4}
    assert "adaptively valid" in listed["adaptive_note"]
    [a], [b], [c] = (arm["rates"] for arm in listed["arms"])
    assert (a["policy"], a["allocation_epoch"], a["offered"]) == ("thompson", 1, 400)
    assert (a["naive_rate"], a["rate"]) == (0.2, 0.25)
    assert a["interval"][0] < 0.25 < a["interval"][1]
    assert a["sequence"][0] < a["interval"][0]
    # With too few successes there is a rate without a sequence, and then without an interval.
    assert (b["sequence"], b["interval"] is None) == (None, False)
    assert (c["served"], c["rate"], c["interval"]) == (0, None, None)
    assert sum(each["best"] for each in (a, b, c)) == pytest.approx(1.0)
    assert (await scene.get("/arms", policy="control"))["arms"][0]["rates"] == []
    one = await scene.get("/arms", arm="a")
    assert [arm["rates"] for arm in one["arms"]] == [[a]]


async def test_cohorts_and_their_variation(scene: AnalyticsScene) -> None:
    found = await scene.get("/cohorts")
    assert [(c["policy"], c["cohort"], c["serves"], c["reward"]) for c in found["cohorts"]] == [
        ("control", 0, 2, 1),
        ("thompson", 0, 1, 1),
        ("thompson", 1, 3, 1),
    ]
    # None has enough serves to be shown and compared.
    assert {(c["withheld"], c["rate"], c["interval"], c["lift"]) for c in found["cohorts"]} == {
        (True, None, None, None)
    }
    assert [(f["policy"], f["cohorts"], f["naive_cv"]) for f in found["fairness"]] == [
        ("control", 0, None),
        ("thompson", 0, None),
    ]
    assert len((await scene.get("/cohorts", cohort=1))["cohorts"]) == 1


async def test_latency_adds_processes_up_and_survives_the_adding_up_of_hours(
    scene: AnalyticsScene, database: Database, clock: Clock
) -> None:
    minutes = await scene.get("/latency")
    thompson = minutes["policies"]["thompson"]
    assert (thompson["calls"], thompson["over_120ms"], thompson["keeps_sla"]) == (20, 1, True)
    assert thompson["p50_ms"] == pytest.approx(1.0, rel=0.01)
    assert thompson["p99_ms"] == pytest.approx(1.0, rel=0.01)
    assert [each["calls"] for each in thompson["distribution"]] == [19, 1]
    assert [p["at"] for p in thompson["points"]] == [said(START)]
    hours = await scene.get("/latency", grain="hour")
    latency = PostgresLatency(database)
    await latency.add_up(datetime.fromtimestamp(clock.now_ms / 1000, UTC))
    assert await scene.get("/latency", grain="hour") == hours
    assert [p["at"] for p in hours["policies"]["control"]["points"]] == [said(START + HOUR)]
    # A minute that was spooled for hours is among its hour's all the same.
    late = ServingMinute("r", 1, 1, THOMPSON, MINUTE + 5, 1, 1, 0, 0, {})
    empty = Batch([], [], [])
    await PostgresLedger(database).fold(empty._replace(minutes=[late]), clock.now_ms)
    for _ in range(2):
        found = (await scene.get("/latency", grain="day"))["policies"]["thompson"]
        assert (found["calls"], found["errors"], len(found["points"])) == (21, 1, 1)
        await latency.add_up(datetime.fromtimestamp(clock.now_ms / 1000, UTC))
    assert list((await scene.get("/latency", policy="control"))["policies"]) == ["control"]


async def test_allocation_beside_what_was_configured(scene: AnalyticsScene) -> None:
    found = await scene.get("/allocation", grain="hour")
    assert found["configured"] == {"control": 0.5, "thompson": 0.5}
    assert found["serves"] == {"control": 2, "thompson": 4}
    assert found["observed"]["thompson"] == pytest.approx(2 / 3)
    assert [p["shares"]["control"] for p in found["points"]] == pytest.approx([1 / 3, 1 / 3])
    ratio = found["sample_ratio"]
    assert ratio["users"] == {"control": 2, "thompson": 4}
    assert ratio["p_value"] == pytest.approx(0.414, abs=1e-3)  # chi-square of 2/3 with one degree
    control, thompson = found["concentration"]
    assert (thompson["arms"], thompson["top_arm"], thompson["top_share"]) == (3, "a", 0.5)
    assert control["entropy"] == pytest.approx(1.0)
    await scene.client.patch(
        scene.path, json={"policies": [{"name": "thompson", "weight": 3}, "control"]}
    )
    # Users count with the epoch that first showed them anything, whose shares were those.
    assert (await scene.get("/allocation"))["sample_ratio"] == ratio


async def test_regret_has_intervals_of_users_unless_a_time_is_asked_for(
    scene: AnalyticsScene,
) -> None:
    whole = await scene.get("/regret")
    thompson, control = whole["policies"]["thompson"], whole["policies"]["control"]
    assert (whole["best"], whole["baseline"], whole["interval_note"]) == (
        "thompson",
        "control",
        None,
    )
    assert thompson["interval"] == pytest.approx(list(wilson.interval(1.5, 3)))
    assert (thompson["rate"], control["rate"], control["gap_to_best"]) == (0.5, 0.5, 0.0)
    assert thompson["best"] == pytest.approx(0.5)
    lift = thompson["lift"]
    assert lift["value"] == pytest.approx(0.0)
    assert lift["anytime_interval"][0] < lift["interval"][0] < 0 < lift["interval"][1]
    assert control["lift"] is thompson["mature_lift"] is None
    later = await scene.get("/regret", since=said(START + HOUR))
    assert later["policies"]["control"]["gap_to_best"] == 0.5
    assert later["policies"]["control"]["missed_reward"] == 0.5
    # Two users, one of whom earned.
    assert later["policies"]["thompson"]["interval"] == pytest.approx(list(wilson.interval(0.5, 1)))
    assert "groups of users" in later["interval_note"]
    cohort = await scene.get("/regret", cohort=1)
    assert (cohort["since"], list(cohort["policies"])) == (
        said(START)[:11] + "00:00:00Z",
        ["thompson"],
    )


async def test_epochs_and_what_came_of_each(scene: AnalyticsScene) -> None:
    await scene.client.patch(scene.path, json={"traffic_pct": 0.5})
    await scene.client.patch(
        scene.path, json={"policies": [{"name": "thompson", "weight": 3}, "control"]}
    )
    found = await scene.get("/epochs")
    first, second = found["epochs"]
    assert (first["allocation_epoch"], first["shares"]["thompson"]) == (1, 0.5)
    assert (second["allocation_epoch"], second["shares"]["thompson"]) == (2, 0.75)
    assert first["ended_at"] == second["began_at"]
    assert second["ended_at"] is None
    assert found["figures"]["1"]["thompson"]["users"] == 4
