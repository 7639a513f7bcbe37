"""Users are given a policy or an arm over REST, as a version of the experiment."""

from http import HTTPStatus
from typing import Any

import pytest
from httpx import AsyncClient

from pullarm.domain.admission import MAX_FORCED
from pullarm.storage.postgres import Database
from tests.control_api import created, problem

USERS = [{"user_id": "bob", "arm": "b"}, {"user_id": "ann/x", "policy": "ucb"}]
SHOWN = [
    {"user_id": "ann/x", "policy": "ucb", "arm": None},
    {"user_id": "bob", "policy": None, "arm": "b"},
]


async def made(client: AsyncClient) -> str:
    draft = await created(client, policies="thompson,ucb,control", arms=["a", "b"])
    return f"/api/experiments/{draft['id']}"


async def test_a_list_replaces_the_one_before(client: AsyncClient, database: Database) -> None:
    path = await made(client)
    answer = await client.put(f"{path}/forced", json=USERS)
    assert (answer.status_code, answer.json()) == (HTTPStatus.OK, {"forced": SHOWN})
    assert answer.headers["etag"] == '"2"'
    again = await client.put(f"{path}/forced", json=USERS)
    assert again.headers["etag"] == '"2"'
    await client.post(f"{path}/start")
    assert (await client.get(f"{path}/forced")).json() == {"forced": SHOWN}
    view = (await client.get(path)).json()
    assert (view["forced_users"], view["allocation_epoch"]) == (2, 1)
    stale = await client.put(f"{path}/forced", json=[], headers={"If-Match": '"2"'})
    problem(stale, HTTPStatus.PRECONDITION_FAILED)
    assert (await client.put(f"{path}/forced", json=[])).json() == {"forced": []}
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT action, actor, jsonb_array_length(forced) AS users FROM experiment_revision ORDER BY config_no"
        )
    assert [(row["action"], row["users"]) for row in rows] == [
        ("create", 0),
        ("force", 2),
        ("start", 2),
        ("force", 0),
    ]
    assert "Test (tok_admin)" in rows[1]["actor"]
    trail = (await client.get(f"{path}/audit")).json()["entries"]
    told = [(entry["action"], entry["before"], entry["after"]) for entry in trail]
    assert told[0] == ("force", {"forced": ["b", "ucb"]}, {"forced": []})
    assert "bob" not in str(told)


@pytest.mark.parametrize(
    ("users", "field"),
    [
        ([{"user_id": "u"}], "forced[0].policy"),
        ([{"user_id": "u", "policy": "ucb", "arm": "a"}], "forced[0].policy"),
        ([{"user_id": "u", "policy": "egreedy"}], "forced[0].policy"),
        ([{"user_id": "u", "arm": "c"}], "forced[0].arm"),
        ([{"policy": "ucb"}], "forced[0].user_id"),
        ([{"user_id": "u", "arm": "a"}, {"user_id": "u", "arm": "b"}], "forced[1].user_id"),
        ([{"user_id": "u", "policy": "ucb", "note": "x"}], "forced[0].note"),
        ([{"user_id": f"u{n}", "arm": "a"} for n in range(MAX_FORCED + 1)], "forced"),
        ({"user_id": "u", "arm": "a"}, "forced"),
    ],
)
async def test_what_is_no_list_is_refused(client: AsyncClient, users: Any, field: str) -> None:
    answer = await client.put(f"{await made(client)}/forced", json=users)
    assert field in problem(answer, HTTPStatus.UNPROCESSABLE_ENTITY)


async def test_a_policy_that_users_are_forced_to_stays(client: AsyncClient) -> None:
    path = await made(client)
    await client.put(f"{path}/forced", json=USERS)
    answer = await client.patch(path, json={"policies": ["thompson", "control"]})
    assert problem(answer, HTTPStatus.UNPROCESSABLE_ENTITY) == {
        "policies": "users are forced to ucb; free them first"
    }
    await client.put(f"{path}/forced", json=[])
    answer = await client.patch(path, json={"policies": ["thompson", "control"]})
    assert answer.status_code == HTTPStatus.OK


async def test_nobody_is_forced_in_what_is_over(client: AsyncClient) -> None:
    path = await made(client)
    await client.post(f"{path}/start")
    await client.post(f"{path}/stop")
    problem(await client.put(f"{path}/forced", json=USERS), HTTPStatus.CONFLICT)
