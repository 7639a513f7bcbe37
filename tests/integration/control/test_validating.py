"""What a request would make is told without making it."""

from http import HTTPStatus

from httpx import AsyncClient

from tests.control_api import ORIGINAL, created, problem

VALIDATE = "/api/experiments/validate"


async def test_a_draft_is_shown_and_not_made(client: AsyncClient) -> None:
    shown = (await client.post(VALIDATE, json={**ORIGINAL, "expected": {"base_rate": 0.1}})).json()
    assert (await client.get("/api/experiments")).json()["experiments"] == []
    made = (
        await client.post("/api/experiments", json={**ORIGINAL, "expected": {"base_rate": 0.1}})
    ).json()
    assert shown["experiment"] == {**made, "id": ""}
    assert made["expectation"]["policies"]["ucb"]["impressions"] > 1_000
    assert shown["before"] == {}
    assert (shown["after"]["traffic_pct"], shown["moved_share"]) == (0.8, 0.0)


async def test_every_problem_of_a_draft_is_told(client: AsyncClient) -> None:
    wrong = {"traffic_pct": 80, "policies": "best", "start_at": "now", "arms": [3], "color": 1}
    refused = await client.post(VALIDATE, json=wrong)
    found = problem(refused, HTTPStatus.UNPROCESSABLE_ENTITY)
    fields = {"policies", "policies[0].name", "start_at", "arms[0]", "color"}
    assert set(found) == {"name", "traffic_pct", *fields}
    again = await client.post("/api/experiments", json=wrong)
    assert problem(again, HTTPStatus.UNPROCESSABLE_ENTITY) == found


async def test_a_change_is_shown_with_whom_it_moves(client: AsyncClient) -> None:
    path = f"/api/experiments/{(await created(client, policies='thompson,control'))['id']}"
    before = (await client.get(path)).json()
    change = {"policies": [{"name": "thompson", "weight": 3}, "control"], "traffic_pct": 0.5}
    shown = (await client.post(f"{path}/validate", json=change)).json()
    assert (await client.get(path)).json() == before
    assert (shown["new_epoch"], shown["moved_share"]) == (True, 0.25)
    assert shown["before"]["traffic_pct"] == 1.0
    assert shown["after"]["traffic_pct"] == 0.5
    after = (await client.patch(path, json=change)).json()
    assert shown["experiment"] == after
    stale = await client.post(f"{path}/validate", json=change, headers={"If-Match": '"1"'})
    assert problem(stale, HTTPStatus.PRECONDITION_FAILED) == {}
    wrong = await client.post(f"{path}/validate", json={"name": "", "traffic_pct": 2})
    assert set(problem(wrong, HTTPStatus.UNPROCESSABLE_ENTITY)) == {"name", "traffic_pct"}


async def test_no_experiment_has_the_key_of_this_route(client: AsyncClient) -> None:
    refused = await client.post("/api/experiments", json={"name": "x", "key": "validate"})
    assert set(problem(refused, HTTPStatus.UNPROCESSABLE_ENTITY)) == {"key"}
    assert (await created(client, name="Validate"))["key"] == "experiment"
