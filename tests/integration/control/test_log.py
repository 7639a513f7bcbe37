"""The log of decisions over REST: pages, filters, files, and one decision with its why."""

import csv
import io
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import pytest
from httpx import AsyncClient

from pullarm.domain.analysis import DecisionFilter
from pullarm.domain.decision_id import encode
from pullarm.storage.postgres import Database
from pullarm.storage.postgres.decisions import PostgresDecisions
from replay.log_file import read_log
from tests.builders import KEYS
from tests.control_api import Clock
from tests.integration.control.analytics_scene import AnalyticsScene, analytics_scene
from tests.ledger_events import START_MS


@pytest.fixture
async def scene(client: AsyncClient, database: Database, clock: Clock) -> AnalyticsScene:
    return await analytics_scene(client, database, clock)


async def test_events_come_newest_first_in_pages(scene: AnalyticsScene) -> None:
    seen: list[str] = []
    cursor: dict[str, object] = {}
    for _ in range(4):
        page = await scene.get("/events", limit=3, **cursor)
        seen += [event["uid"] for event in page["events"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == [token.uid.hex() for token in reversed(scene.tokens)]
    first = (await scene.get("/events", limit=7))["events"][-1]
    assert (first["unit"], first["assigned"], first["reason"]) == ("user-0", "thompson", "ASSIGNED")
    assert first["slots"] == [
        {"slot": 1, "arm_no": 1, "id": "a", "propensity": 0.5, "rewards": {"reward": 1.0}}
    ]


@pytest.mark.parametrize(
    ("params", "units"),
    [
        ({"policy": "control"}, [4, 2]),
        ({"arm": "b"}, [3, 2]),
        ({"cohort": 1, "policy": "thompson"}, [5, 3, 1]),
        ({"bucket": 4}, [4]),
        ({"since": datetime.fromtimestamp(START_MS / 1000 + 3600, UTC).isoformat()}, [6, 5, 4, 3]),
        ({"until": datetime.fromtimestamp(START_MS / 1000 + 1, UTC).isoformat()}, [0]),
    ],
)
async def test_events_and_files_of_what_is_sought(
    scene: AnalyticsScene, params: dict[str, object], units: list[int]
) -> None:
    listed = (await scene.get("/events", **params))["events"]
    assert [event["unit"] for event in listed] == [f"user-{n}" for n in units]
    answer = await scene.client.get(
        f"{scene.path}/export", params={k: str(v) for k, v in params.items()}
    )
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["unit"] for row in rows] == [f"user-{n}" for n in reversed(units)]


async def test_a_page_looks_at_so_many_decisions_only(
    scene: AnalyticsScene, database: Database
) -> None:
    decisions = PostgresDecisions(database, scanned=2)
    sought, before = DecisionFilter(bucket=1), None
    sizes = []
    for _ in range(4):
        page = await decisions.page(1, sought, limit=10, before=before)
        sizes.append(len(page.events))
        before = page.next
    assert (sizes, before) == ([0, 0, 1, 0], None)


@pytest.mark.parametrize(
    ("log_format", "kind"),
    [
        ("csv", "text/csv; charset=utf-8"),
        ("jsonl", "application/x-ndjson"),
        ("parquet", "application/vnd.apache.parquet"),
    ],
)
async def test_a_file_is_the_log(
    scene: AnalyticsScene, tmp_path: Path, log_format: str, kind: str
) -> None:
    answer = await scene.client.get(f"{scene.path}/export", params={"format": log_format})
    assert (answer.status_code, answer.headers["content-type"]) == (HTTPStatus.OK, kind)
    document = (await scene.client.get("/schema/openapi.json")).json()
    described = document["paths"]["/api/experiments/{reference}/export"]["get"]["responses"]["200"]
    assert kind.partition(";")[0] in described["content"]
    name = answer.headers["content-disposition"].partition("filename=")[2].strip('"')
    (tmp_path / name).write_bytes(answer.content)
    rows = list(read_log(tmp_path / name))
    assert [row.decision_uid for row in rows] == [token.uid.hex() for token in scene.tokens]
    assert [row.rewards["reward"].credit for row in rows if row.rewards] == [1.0] * 3


async def test_a_decision_by_its_id_and_by_its_uid(scene: AnalyticsScene) -> None:
    token = scene.tokens[0]
    for name in (encode(token, KEYS), token.uid.hex()):
        answer = await scene.client.get(f"/api/decisions/{name}")
        # These were made for no publication, so that nothing of them can be redone.
        assert answer.status_code == HTTPStatus.NOT_FOUND
        assert "publication 1" in answer.json()["detail"]
    for name, status in [
        (token.uid.hex()[:-1] + "x", HTTPStatus.UNPROCESSABLE_ENTITY),
        ("0" * 32, HTTPStatus.NOT_FOUND),
    ]:
        assert (await scene.client.get(f"/api/decisions/{name}")).status_code == status


async def test_a_token_of_one_experiment_sees_no_other_decision(scene: AnalyticsScene) -> None:
    other = await scene.client.post("/api/experiments", json={"name": "Other"})
    made = await scene.client.post(
        "/api/tokens", json={"name": "v", "role": "viewer", "experiments": [other.json()["id"]]}
    )
    headers = {"Authorization": f"Bearer {made.json()['token']}"}
    for uid in (scene.tokens[0].uid.hex(), "0" * 32):
        answer = await scene.client.get(f"/api/decisions/{uid}", headers=headers)
        assert answer.status_code == HTTPStatus.FORBIDDEN


async def test_a_token_of_one_experiment_is_not_told_which_others_there_are(
    scene: AnalyticsScene,
) -> None:
    other = await scene.client.post("/api/experiments", json={"name": "Other"})
    made = await scene.client.post(
        "/api/tokens", json={"name": "o", "role": "operator", "experiments": [other.json()["id"]]}
    )
    headers = {"Authorization": f"Bearer {made.json()['token']}"}
    told = set()
    for reference in (scene.id, "nothing"):
        asked = {"experiment_id": reference, "user_id": "ann"}
        answer = await scene.client.get(
            "/api/movies/recommendations", params=asked, headers=headers
        )
        told.add((answer.status_code, answer.json()["detail"].replace(reference, "it")))
    assert len(told) == 1
    assert told.pop()[0] == HTTPStatus.FORBIDDEN
