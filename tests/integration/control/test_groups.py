"""Groups over REST: made, listed, reserved in, and holding users out."""

from http import HTTPStatus

import pytest
from httpx import AsyncClient

from tests.control_api import created, problem

GROUPS = "/api/groups"


async def test_a_group_is_made_and_experiments_take_their_places(client: AsyncClient) -> None:
    answer = await client.post(GROUPS, json={"name": "checkout", "holdout_pct": 0.05})
    assert answer.status_code == HTTPStatus.CREATED
    assert (answer.json()["free_share"], answer.json()["experiments"]) == (1.0, [])
    first = await created(client, group="checkout", group_share=0.6, arms=["a"])
    assert (first["group"], first["group_share"], first["holdout_pct"]) == ("checkout", 0.6, 0.05)
    refused = await client.post(
        "/api/experiments", json={"name": "x", "group": "checkout", "group_share": 0.5}
    )
    assert (
        "0.4 of group 'checkout' is free"
        in (problem(refused, HTTPStatus.UNPROCESSABLE_ENTITY)["group_share"])
    )
    shown = (await client.get(f"{GROUPS}/checkout")).json()
    assert shown["free_share"] == 0.4
    assert shown["experiments"] == [
        {"id": first["id"], "key": first["key"], "state": "draft", "share": 0.6}
    ]
    path = f"/api/experiments/{first['id']}"
    await client.post(f"{path}/start")
    moved = await client.patch(path, json={"group": None})
    assert "fixed once" in problem(moved, HTTPStatus.UNPROCESSABLE_ENTITY)["group"]
    assert (await client.patch(path, json={"group_share": 1})).json()["group_share"] == 1.0
    await client.post(f"{path}/stop")
    assert (await client.get(f"{GROUPS}/checkout")).json()["free_share"] == 1.0
    copy = (await client.post(f"{path}/clone", json={"group_share": 0.75})).json()
    assert (copy["group"], copy["group_share"]) == ("checkout", 0.75)
    assert (await client.get(f"{GROUPS}/checkout")).json()["free_share"] == 0.25
    await client.post(f"/api/experiments/{copy['id']}/archive")
    assert (await client.get(f"{GROUPS}/checkout")).json()["free_share"] == 1.0


async def test_a_draft_leaves_its_group(client: AsyncClient) -> None:
    await client.post(GROUPS, json={"name": "g"})
    draft = await created(client, group="g", group_share=1)
    left = await client.patch(f"/api/experiments/{draft['id']}", json={"group": None})
    assert left.json()["group"] == ""
    assert (await client.get(f"{GROUPS}/g")).json()["free_share"] == 1.0


async def test_a_holdout_of_all_is_in_every_experiment(client: AsyncClient) -> None:
    draft = await created(client)
    answer = await client.patch(f"{GROUPS}/all", json={"holdout_pct": 0.1})
    assert answer.json()["holdout_pct"] == 0.1
    held = (await client.get(f"/api/experiments/{draft['id']}")).json()
    assert (held["holdout_pct"], held["config_no"]) == (0.1, 2)
    listed = (await client.get(GROUPS)).json()["groups"]
    assert [group["name"] for group in listed] == ["all"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "Bad Name"}, "name"),
        ({"name": "all"}, "name"),
        ({"name": "g", "holdout_pct": 5}, "holdout_pct"),
        ({"name": "g", "share": 5}, "share"),
        ([], "body"),
    ],
)
async def test_what_is_no_group_is_refused(client: AsyncClient, body: object, field: str) -> None:
    answer = await client.post(GROUPS, json=body)
    assert field in problem(answer, HTTPStatus.UNPROCESSABLE_ENTITY)


async def test_what_is_wrong_about_a_group_is_told(client: AsyncClient) -> None:
    for fields, field in (
        ({"group": "nothere", "group_share": 1}, "group"),
        ({"group": "all", "group_share": 1}, "group"),
        ({"group": "g"}, "group_share"),
        ({"group_share": 0}, "group_share"),
    ):
        answer = await client.post("/api/experiments", json={"name": "x", **fields})
        assert field in problem(answer, HTTPStatus.UNPROCESSABLE_ENTITY)
    for method in ("GET", "PATCH"):
        answer = await client.request(method, f"{GROUPS}/%00", json={"holdout_pct": 0})
        assert problem(answer, HTTPStatus.NOT_FOUND) == {}
    nothing = await client.patch(f"{GROUPS}/all", json={})
    assert problem(nothing, HTTPStatus.UNPROCESSABLE_ENTITY) == {"holdout_pct": "is required"}
