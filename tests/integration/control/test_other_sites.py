"""A page of another site cannot change anything through the browser of somebody who reaches the control plane."""

from http import HTTPStatus

import pytest
from httpx import AsyncClient

from tests.control_api import ORIGINAL, created, problem


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://control:8001",
        "http://control.evil.example",
        "http://[",
    ],
)
async def test_a_page_of_another_site_changes_nothing(client: AsyncClient, origin: str) -> None:
    path = f"/api/experiments/{(await created(client))['id']}"
    await client.post(f"{path}/start")
    foreign = {"Origin": origin}
    for answer in (
        await client.post(f"{path}/stop", headers=foreign),
        await client.post("/api/experiments", json=ORIGINAL, headers=foreign),
        await client.patch(path, json={"notes": "x"}, headers=foreign),
    ):
        assert problem(answer, HTTPStatus.FORBIDDEN) == {}
        assert f"a page of {origin!r} may change nothing here" in answer.json()["detail"]
    assert (await client.get(path, headers=foreign)).json()["state"] == "running"
    assert len((await client.get("/api/experiments")).json()["experiments"]) == 1


@pytest.mark.parametrize("origin", ["http://control", "https://control", "HTTP://Control"])
async def test_our_own_page_may_change(client: AsyncClient, origin: str) -> None:
    path = f"/api/experiments/{(await created(client))['id']}"
    started = await client.post(f"{path}/start", headers={"Origin": origin})
    assert started.json()["state"] == "running"


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""],
)
async def test_a_body_that_does_not_claim_to_be_json_is_refused(
    client: AsyncClient, media_type: str
) -> None:
    path = f"/api/experiments/{(await created(client))['id']}"
    declared = {"Content-Type": media_type} if media_type else {}
    for method, to in (("POST", "/api/experiments"), ("PATCH", path)):
        answer = await client.request(method, to, content=b'{"name": "x"}', headers=declared)
        assert problem(answer, HTTPStatus.UNSUPPORTED_MEDIA_TYPE) == {}
        assert "send JSON with Content-Type: application/json" in answer.json()["detail"]


async def test_the_type_of_a_body_may_name_its_characters(client: AsyncClient) -> None:
    answer = await client.post(
        "/api/experiments",
        content=b'{"name": "x"}',
        headers={"Content-Type": "Application/JSON; charset=utf-8"},
    )
    assert answer.status_code == HTTPStatus.CREATED
