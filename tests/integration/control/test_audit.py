"""Who changed what: told to whoever asks, and to whoever was too late."""

import asyncio
from http import HTTPStatus

from httpx import AsyncClient

from tests.control_api import Clock, created, problem


async def test_changes_are_told_with_who_and_from_where(client: AsyncClient, clock: Clock) -> None:
    path = f"/api/experiments/{(await created(client, arms=['a']))['id']}"
    clock.now_ms += 1000
    await client.patch(path, json={"traffic_pct": 0.5})
    await client.post(f"{path}/arms/a/pause")
    entries = (await client.get(f"{path}/audit")).json()["entries"]
    assert [each["action"] for each in entries] == ["pause_arm", "edit", "create"]
    edit = entries[1]
    assert (edit["before"], edit["after"]) == ({"traffic_pct": 1.0}, {"traffic_pct": 0.5})
    assert edit["at"] == (await client.get(path)).json()["updated_at"]
    who = ("actor", "origin", "address", "experiment", "config_no")
    assert [edit[name] for name in who] == [
        *("Test (tok_admin)", "REST", "127.0.0.1"),
        *(path.rpartition("/")[2], 2),
    ]


async def test_pages_follow_each_other(client: AsyncClient) -> None:
    path = f"/api/experiments/{(await created(client))['id']}"
    for number in range(4):
        await client.patch(path, json={"notes": str(number)})
    found, before = [], ""
    for size in (2, 2, 1):
        page = (await client.get(f"{path}/audit?limit=2{before}")).json()
        assert len(page["entries"]) == size
        found += [each["config_no"] for each in page["entries"]]
        before = f"&before={page['next']}"
    assert (found, page["next"]) == ([5, 4, 3, 2, 1], None)
    for wrong in ("before=0", "before=x", "limit=1001", f"before={2**63}"):
        refused = await client.get(f"{path}/audit?{wrong}")
        assert refused.status_code == HTTPStatus.BAD_REQUEST


async def test_everything_is_told_to_admins_alone(client: AsyncClient) -> None:
    draft = await created(client)
    await client.post(f"/api/experiments/{draft['id']}/archive")
    entries = (await client.get("/api/audit")).json()["entries"]
    found = [(each["action"], each["experiment"]) for each in entries]
    assert found == [("archive", draft["id"]), ("create", draft["id"])]
    made = await client.post("/api/tokens", json={"name": "v", "role": "operator"})
    headers = {"Authorization": f"Bearer {made.json()['token']}"}
    refused = await client.get("/api/audit", headers=headers)
    assert problem(refused, HTTPStatus.FORBIDDEN) == {}


async def test_of_two_changes_at_once_one_wins_and_the_other_is_told_what_changed(
    client: AsyncClient,
) -> None:
    path = f"/api/experiments/{(await created(client))['id']}"
    tag = (await client.get(path)).headers["etag"]
    shares = (0.3, 0.4)
    answers = await asyncio.gather(
        *(client.patch(path, json={"traffic_pct": s}, headers={"If-Match": tag}) for s in shares)
    )
    (won,) = [each for each in answers if each.status_code == HTTPStatus.OK]
    (lost,) = [each for each in answers if each is not won]
    assert problem(lost, HTTPStatus.PRECONDITION_FAILED) == {}
    (change,) = lost.json()["changes"]
    share = won.json()["traffic_pct"]
    assert (change["before"], change["after"]) == ({"traffic_pct": 1.0}, {"traffic_pct": share})
    assert (change["actor"], change["action"]) == ("Test (tok_admin)", "edit")
    assert change["at"] == won.json()["updated_at"]


async def test_actions_and_arms_are_refused_too_where_something_changed(
    client: AsyncClient,
) -> None:
    path = f"/api/experiments/{(await created(client, arms=['a']))['id']}"
    await client.patch(path, json={"notes": "one"})
    await client.patch(path, json={"notes": "two"})
    for action in ("start", "stop", "archive", "arms/a/pause"):
        late = await client.post(f"{path}/{action}", headers={"If-Match": '"1"'})
        assert problem(late, HTTPStatus.PRECONDITION_FAILED) == {}
        assert [each["after"] for each in late.json()["changes"]] == [
            {"notes": "one"},
            {"notes": "two"},
        ]
    assert (await client.get(path)).json()["config_no"] == 3
    foreign = await client.patch(path, json={"notes": "x"}, headers={"If-Match": '"other"'})
    assert problem(foreign, HTTPStatus.PRECONDITION_FAILED) == {}
    assert foreign.json()["changes"] == []
