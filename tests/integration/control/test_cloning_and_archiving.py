from http import HTTPStatus

from httpx import AsyncClient

from tests.control_api import created, problem


async def test_what_is_archived_is_hidden_and_takes_clone_alone(client: AsyncClient) -> None:
    draft = await created(client)
    path = f"/api/experiments/{draft['id']}"
    archived = await client.post(f"{path}/archive")
    assert archived.json()["state"] == "archived"
    assert (await client.post(f"{path}/archive")).json() == archived.json()
    assert (await client.get("/api/experiments")).json()["experiments"] == []
    shown = (await client.get("/api/experiments?state=archived")).json()
    assert ([each["id"] for each in shown["experiments"]], shown["next"]) == ([draft["id"]], None)
    assert (await client.get(path)).status_code == HTTPStatus.OK
    for action in ("start", "stop"):
        refused = await client.post(f"{path}/{action}")
        assert problem(refused, HTTPStatus.CONFLICT) == {}
        assert refused.json()["detail"].endswith("is archived; legal now: clone, archive")


async def test_a_running_experiment_is_neither_archived_nor_cloned(client: AsyncClient) -> None:
    path = f"/api/experiments/{(await created(client))['id']}"
    await client.post(f"{path}/start")
    for action in ("archive", "clone"):
        refused = await client.post(f"{path}/{action}")
        assert problem(refused, HTTPStatus.CONFLICT) == {}
        assert "legal now: edit, stop" in refused.json()["detail"]


async def test_a_clone_is_a_draft_with_the_same_configuration_and_live_arms(
    client: AsyncClient,
) -> None:
    arms = [{"id": "a", "payload_hash": "1", "prior_serves": 9}, "b", "c"]
    policies = [{"name": "thompson", "weight": 3, "params": {"floor": 0.1}}, "control"]
    original = await created(client, arms=arms, policies=policies, notes="why", traffic_pct=0.3)
    path = f"/api/experiments/{original['id']}"
    await client.post(f"{path}/arms", json=[{"id": "a", "payload_hash": "2"}])
    await client.post(f"{path}/arms/b/pause")
    await client.post(f"{path}/arms/c/retire")
    await client.post(f"{path}/start")
    await client.post(f"{path}/stop")
    answer = await client.post(f"{path}/clone")
    assert answer.status_code == HTTPStatus.CREATED
    clone = answer.json()
    assert answer.headers["location"] == f"/api/experiments/{clone['id']}"
    assert (clone["name"], clone["state"], clone["config_no"]) == ("Test (copy)", "draft", 1)
    for same in ("policies", "notes", "traffic_pct", "catalogue", "reward", "duration_days"):
        assert clone[same] == original[same]
    told = [(a["id"], a["arm_no"], a["version"], a["status"]) for a in clone["arms"]]
    assert told == [("b", 1, 1, "paused"), ("a", 2, 1, "active")]
    (entry,) = (await client.get(f"/api/experiments/{clone['id']}/audit")).json()["entries"]
    assert (entry["action"], entry["after"]["cloned_from"]) == ("clone", original["id"])


async def test_a_clone_takes_other_fields_and_tells_every_problem(client: AsyncClient) -> None:
    path = f"/api/experiments/{(await created(client))['id']}"
    await client.post(f"{path}/archive")
    body = {"name": "Next", "key": "next", "traffic_pct": 0.1, "reward": {"aggregation": "sum"}}
    clone = (await client.post(f"{path}/clone", json=body)).json()
    assert (clone["name"], clone["key"], clone["traffic_pct"]) == ("Next", "next", 0.1)
    assert clone["reward"]["aggregation"] == "sum"
    wrong = {"name": "", "arms": ["a"], "traffic_pct": 8, "colour": "red"}
    refused = await client.post(f"{path}/clone", json=wrong)
    assert set(problem(refused, HTTPStatus.UNPROCESSABLE_ENTITY)) == set(wrong)


async def test_a_list_is_told_what_is_wrong_with_what_it_is_asked(client: AsyncClient) -> None:
    await created(client)
    await created(client, name="Other")
    first = (await client.get("/api/experiments?sort=name&limit=1")).json()
    rest = (await client.get(f"/api/experiments?sort=name&after={first['next']}")).json()
    assert [each["name"] for each in (*first["experiments"], *rest["experiments"])] == [
        *("Other", "Test"),
    ]
    for wrong in ("sort=size", "limit=0", f"search={'x' * 201}"):
        refused = await client.get(f"/api/experiments?{wrong}")
        assert refused.status_code == HTTPStatus.BAD_REQUEST
    for wrong in ("state=gone", "after=exp_none"):
        refused = await client.get(f"/api/experiments?{wrong}")
        assert set(problem(refused, HTTPStatus.UNPROCESSABLE_ENTITY)) == {wrong.partition("=")[0]}
