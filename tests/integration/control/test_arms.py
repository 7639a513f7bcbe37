from http import HTTPStatus
from typing import Any

import pytest
from httpx import AsyncClient, Response

from pullarm.storage.postgres import Database
from tests.control_api import created, problem


async def path_of(client: AsyncClient, **fields: object) -> str:
    return f"/api/experiments/{(await created(client, **fields))['id']}"


def arms_of(answer: Response) -> dict[tuple[str, int], dict[str, Any]]:
    """By id and version."""
    assert answer.status_code == HTTPStatus.OK, answer.text
    return {(arm["id"], arm["version"]): arm for arm in answer.json()["arms"]}


async def test_arms_are_added_and_listed(client: AsyncClient) -> None:
    path = await path_of(client, arms=["a", {"id": "w", "prior_serves": 10, "prior_rewards": 2.5}])
    await client.post(f"{path}/start")
    body = ["b", {"id": "c", "label": "C", "payload_hash": "1", "status": "paused"}, "a"]
    added = await client.post(f"{path}/arms", json=body)
    assert added.headers["etag"] == '"3"'
    assert [(arm["id"], arm["arm_no"]) for arm in added.json()["arms"]] == [
        ("b", 3),
        ("c", 4),
        ("a", 1),
    ]
    listed = await client.get(f"{path}/arms")
    assert listed.headers["etag"] == '"3"'
    arms = arms_of(listed)
    assert arms["c", 1] == {
        "figures": [],
        "rates": [],
        "id": "c",
        "label": "C",
        "arm_no": 4,
        "version": 1,
        "payload_hash": "1",
        "status": "paused",
        "prior_serves": 0.0,
        "prior_rewards": 0.0,
    }
    assert (arms["w", 1]["prior_serves"], arms["w", 1]["prior_rewards"]) == (10.0, 2.5)
    one = await client.post(f"{path}/arms", json={"id": "d"})
    assert [arm["id"] for arm in one.json()["arms"]] == ["d"]


async def test_what_changes_nothing_makes_no_version(client: AsyncClient) -> None:
    path = await path_of(client, arms=[{"id": "a", "payload_hash": "1"}])
    for call in (
        client.post(f"{path}/arms", json=["a"]),
        client.post(f"{path}/arms", json={"id": "a", "payload_hash": "1"}),
        client.post(f"{path}/arms/a/resume"),
    ):
        assert (await call).headers["etag"] == '"1"'


async def test_thousands_come_as_csv(client: AsyncClient) -> None:
    path = await path_of(client, arms=["arm-17"])
    lines = [f"arm-{n},{n},{n / 2}" for n in range(5_000)]
    text = "\n".join(["id,prior_serves,prior_rewards", *lines])
    types = {"Content-Type": "text/csv; charset=utf-8"}
    refused = await client.post(f"{path}/arms", content=text, headers=types)
    found = problem(refused, HTTPStatus.UNPROCESSABLE_ENTITY)
    assert list(found) == ["arms[17].prior_serves"]
    text = text.replace("arm-17,17,8.5", "arm-17,,")
    arms = arms_of(await client.post(f"{path}/arms", content=text, headers=types))
    assert len(arms) == 5_000
    assert arms["arm-4999", 1]["prior_rewards"] == 2499.5
    for content in (b'id\n"a', b"id\n\xff"):
        bad = await client.post(f"{path}/arms", content=content, headers=types)
        problem(bad, HTTPStatus.BAD_REQUEST)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    foreign = await client.post(f"{path}/arms", content="id=a", headers=form)
    problem(foreign, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


async def test_arms_go_through_their_states(client: AsyncClient) -> None:
    path = await path_of(client, arms=["a", "b é"])
    await client.post(f"{path}/start")

    async def move(arm: str, action: str) -> str:
        answer = await client.post(f"{path}/arms/{arm}/{action}")
        assert answer.status_code == HTTPStatus.OK, answer.text
        return str(answer.json()["status"])

    assert await move("a", "pause") == await move("a", "pause") == "paused"
    assert await move("a", "resume") == "active"
    assert await move("b%20%C3%A9", "retire") == await move("b é", "retire") == "retired"
    whole = (await client.get(path)).json()
    assert [arm["id"] for arm in whole["arms"]] == ["a"]
    assert len((await client.get(f"{path}/arms")).json()["arms"]) == 2
    back = await client.post(f"{path}/arms/b é/resume")
    assert problem(back, HTTPStatus.CONFLICT) == {}
    assert "add it again, as version 2" in back.json()["detail"]
    for unknown in ("c", "%00", "a" * 200):
        problem(await client.post(f"{path}/arms/{unknown}/pause"), HTTPStatus.NOT_FOUND)
    again = arms_of(await client.post(f"{path}/arms", json=["b é"]))
    assert again["b é", 2]["arm_no"] == 3


async def test_another_payload_is_another_version(client: AsyncClient) -> None:
    path = await path_of(client, arms=[{"id": "a", "payload_hash": "1", "label": "A"}])
    body = {"id": "a", "payload_hash": "2", "prior_serves": 4, "prior_rewards": 1}
    new = arms_of(await client.post(f"{path}/arms", json=body))["a", 2]
    assert (new["arm_no"], new["label"], new["prior_serves"]) == (2, "A", 4.0)
    both = arms_of(await client.get(f"{path}/arms"))
    assert (both["a", 1]["status"], both["a", 2]["status"]) == ("retired", "active")


async def test_stale_changes_are_refused(client: AsyncClient) -> None:
    path = await path_of(client, arms=["a"])
    fresh, stale = {"If-Match": '"1"'}, {"If-Match": '"1"'}
    assert (await client.post(f"{path}/arms", json=["b"], headers=fresh)).headers["etag"] == '"2"'
    for late in (
        client.post(f"{path}/arms", json=["c"], headers=stale),
        client.post(f"{path}/arms/a/pause", headers=stale),
    ):
        assert problem(await late, HTTPStatus.PRECONDITION_FAILED) == {}
    assert len((await client.get(f"{path}/arms")).json()["arms"]) == 2


async def test_open_catalogue_takes_arms_up_to_its_limit(client: AsyncClient) -> None:
    path = await path_of(client, max_arms=2)
    assert len(arms_of(await client.post(f"{path}/arms", json=["a", "b"]))) == 2
    refused = await client.post(f"{path}/arms", json=["c"])
    found = problem(refused, HTTPStatus.UNPROCESSABLE_ENTITY)
    assert found == {"arms": "would be 3, more than max_arms, 2; retire some"}


async def test_arms_of_what_is_over_do_not_change(client: AsyncClient) -> None:
    path = await path_of(client, arms=["a"])
    await client.post(f"{path}/start")
    await client.post(f"{path}/stop")
    for late in (
        client.post(f"{path}/arms", json=["b"]),
        client.post(f"{path}/arms/a/pause"),
    ):
        answer = await late
        assert problem(answer, HTTPStatus.CONFLICT) == {}
        assert "draft, running, rolled_back, shipped" in answer.json()["detail"]


async def test_draft_starts_once_it_has_something_to_show(client: AsyncClient) -> None:
    path = await path_of(client, arms=[])
    problem(await client.post(f"{path}/start"), HTTPStatus.CONFLICT)
    await client.post(f"{path}/arms", json=[{"id": "a", "status": "paused"}])
    problem(await client.post(f"{path}/start"), HTTPStatus.CONFLICT)
    await client.post(f"{path}/arms/a/resume")
    assert (await client.post(f"{path}/start")).json()["state"] == "running"


async def test_every_change_has_a_row_of_history(client: AsyncClient, database: Database) -> None:
    path = await path_of(client, arms=["a"])
    await client.post(f"{path}/arms", json=["b"])
    for action in ("pause", "resume", "retire"):
        await client.post(f"{path}/arms/a/{action}")
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT action FROM experiment_revision ORDER BY config_no")
        moves = await connection.fetch(
            "SELECT config_no, status FROM arm_status ORDER BY config_no"
        )
    assert [row["action"] for row in rows] == [
        *("create", "state_arms", "pause_arm", "resume_arm", "retire_arm")
    ]
    assert [tuple(row) for row in moves] == [(3, "paused"), (4, "active"), (5, "retired")]


@pytest.mark.parametrize("media_type", ["application/json", "text/csv"])
async def test_examples_of_the_description_are_taken(client: AsyncClient, media_type: str) -> None:
    document = (await client.get("/schema/openapi.json")).json()
    post = document["paths"]["/api/experiments/{reference}/arms"]["post"]
    example = post["requestBody"]["content"][media_type]["example"]
    path, types = await path_of(client, arms=["harbour"]), {"Content-Type": media_type}
    content = {"json": example} if media_type.endswith("json") else {"content": example}
    answer = await client.post(f"{path}/arms", headers=types, **content)
    assert arms_of(answer)["sunset", 1]["prior_rewards"] == 9.5
