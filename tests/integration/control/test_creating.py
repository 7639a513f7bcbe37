import asyncio
from datetime import UTC, datetime
from http import HTTPStatus

from httpx import AsyncClient

from tests.control_api import ORIGINAL, created, problem
from tests.ledger_events import START_MS


async def test_the_original_body_makes_a_draft_and_every_default_is_listed(
    client: AsyncClient,
) -> None:
    answer = await client.post("/api/experiments", json=ORIGINAL)
    assert answer.status_code == HTTPStatus.CREATED
    body = answer.json()
    assert answer.headers["location"] == f"/api/experiments/{body['id']}"
    assert answer.headers["etag"] == '"1"'
    assert len(body.pop("id")) == len("exp_") + 12
    policies = {policy["name"]: policy for policy in body.pop("policies")}
    assert list(policies) == ["thompson", "egreedy", "ucb", "control"]
    assert {policy["share"] for policy in policies.values()} == {0.25}
    assert policies["egreedy"]["params"]["epsilon"] == 0.1
    assert body.pop("guardrails")["error_rate"]["limit"] == 0.01
    created_at = datetime.fromtimestamp(START_MS / 1000, UTC).isoformat().replace("+00:00", "Z")
    assert body == {
        **ORIGINAL,
        "key": "bandit-test-v1",
        "state": "draft",
        "targeting": {},
        "group": "",
        "group_share": 1.0,
        "holdout_pct": 0.0,
        "forced_users": 0,
        "catalogue": "open",
        "max_arms": 1000,
        "reward": {
            "kinds": [{"name": "reward", "threshold": None}],
            "learns": "reward",
            "aggregation": "first",
            "exposure": "served",
            "window_hours": 24.0,
        },
        "learning": {"delay": "provisional", "half_life_hours": None},
        "cohorts": None,
        "cohort_numbers": [],
        "learn_slots": 1,
        "log_candidates": "arms",
        "duration_days": 14.0,
        "decision": {
            "min_uplift": 0.03,
            "min_confidence": 0.95,
            "significance_level": 0.05,
            "min_window_days": 7,
            "max_experiment_days": 14,
            "min_events_per_policy": 1000,
            "baseline": "control",
            "time_zone": "UTC",
            "automatic_ship": False,
        },
        "config_no": 1,
        "allocation_epoch": 1,
        "guard_epoch": 1,
        "created_at": created_at,
        "updated_at": created_at,
        "started_at": None,
        "start_at": None,
        "expected": {
            "visits_per_day": None,
            "base_rate": None,
            "uplift": 0.03,
            "design_effect": 3.3,
        },
        "expectation": None,
        "effective_from": body["created_at"],
        "end_at": None,
        "arms": [],
        "warnings": [],
    }


async def test_keys_are_made_unique_and_given_ones_must_be(client: AsyncClient) -> None:
    keys = [(await created(client))["key"] for _ in range(3)]
    assert keys == ["test", "test-2", "test-3"]
    answer = await client.post("/api/experiments", json={"name": "x", "key": "test"})
    assert "taken" in problem(answer, HTTPStatus.UNPROCESSABLE_ENTITY)["key"]


async def test_drafts_of_one_name_made_at_once_all_get_a_key(client: AsyncClient) -> None:
    drafts = await asyncio.gather(*(created(client) for _ in range(4)))
    assert len({draft["key"] for draft in drafts}) == 4


async def test_experiments_are_listed_and_found_by_id_and_key(client: AsyncClient) -> None:
    first = await created(client, arms=["a", "b"])
    second = await created(client, name="Second")
    listed = (await client.get("/api/experiments")).json()["experiments"]
    assert [each["id"] for each in listed] == [second["id"], first["id"]]
    by_id = await client.get(f"/api/experiments/{first['id']}")
    assert by_id.json() == first
    assert [arm["id"] for arm in by_id.json()["arms"]] == ["a", "b"]
    assert (await client.get(f"/api/experiments/{first['key']}")).json() == first


async def test_every_problem_of_a_body_is_told(client: AsyncClient) -> None:
    answer = await client.post("/api/experiments", json={"traffic_pct": 80, "polices": "ucb"})
    assert problem(answer, HTTPStatus.UNPROCESSABLE_ENTITY) == {
        "polices": "is unknown; did you mean 'policies'?",
        "name": "is required",
        "traffic_pct": "is a fraction from 0 to 1: 0.8 means 80 %; got 80",
    }
