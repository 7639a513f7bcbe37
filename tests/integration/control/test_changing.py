import asyncio
from http import HTTPStatus

import pytest
from httpx import AsyncClient, Response

from pullarm.domain.assignment import BUCKETS, unit_of
from pullarm.domain.experiment import POLICY_NUMBERS
from pullarm.storage.postgres import Database, PostgresExperiments
from tests.control_api import created, problem


async def test_a_raise_of_traffic_starts_no_epoch_and_new_weights_do(client: AsyncClient) -> None:
    path = f"/api/experiments/{(await created(client, policies='thompson,control'))['id']}"
    await client.post(f"{path}/start")
    raised = (await client.patch(path, json={"traffic_pct": 0.5})).json()
    assert raised["traffic_pct"] == 0.5
    epochs = ("config_no", "allocation_epoch", "guard_epoch")
    assert [raised[name] for name in epochs] == [3, 1, 1]
    weights = [{"name": "thompson", "weight": 3}, "control"]
    changed = (await client.patch(path, json={"policies": weights})).json()
    assert [changed[name] for name in epochs] == [4, 2, 2]
    assert {p["name"]: p["share"] for p in changed["policies"]} == {
        "thompson": 0.75,
        "control": 0.25,
    }


async def test_new_weights_move_as_few_buckets_as_they_can(
    client: AsyncClient, database: Database
) -> None:
    store = PostgresExperiments(database)
    reference = str((await created(client, policies="thompson,ucb,control"))["id"])
    before = (await store.get(reference)).buckets
    weights = [{"name": "thompson", "weight": 2}, "ucb", "control"]
    await client.patch(f"/api/experiments/{reference}", json={"policies": weights})
    after = (await store.get(reference)).buckets
    moved = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert {b for _, b in moved} == {POLICY_NUMBERS["thompson"]}
    assert len(moved) == BUCKETS // 2 - before.count(POLICY_NUMBERS["thompson"])


USERS = [f"user-{number}" for number in range(20_000)]


async def whereabouts(store: PostgresExperiments, reference: str) -> dict[str, int]:
    """The policy of every user who takes part."""
    found = await store.get(reference)
    units = {user: unit_of(found.salt, user) for user in USERS}
    gate = found.spec.gate_limit
    return {user: found.buckets[unit.bucket] for user, unit in units.items() if unit.gate < gate}


async def test_users_who_took_part_stay_where_they_are_when_the_traffic_is_raised(
    client: AsyncClient, database: Database
) -> None:
    store = PostgresExperiments(database)
    reference = str((await created(client, traffic_pct=0.1))["id"])
    path = f"/api/experiments/{reference}"
    await client.post(f"{path}/start")
    before = await whereabouts(store, reference)
    raised = (await client.patch(path, json={"traffic_pct": 0.8})).json()
    after = await whereabouts(store, reference)
    assert raised["allocation_epoch"] == 1
    assert len(before) / len(USERS) == pytest.approx(0.1, abs=0.02)
    assert len(after) / len(USERS) == pytest.approx(0.8, abs=0.02)
    assert {user: after[user] for user in before} == before


async def test_of_new_weights_no_more_users_move_than_have_to(
    client: AsyncClient, database: Database
) -> None:
    """From 25/25/25/25 to 40/20/20/20 each of three policies gives 5 % of the users to the fourth: 15 % in all."""
    store = PostgresExperiments(database)
    draft = await created(client, policies="thompson,egreedy,ucb,control")
    path = f"/api/experiments/{draft['id']}"
    await client.post(f"{path}/start")
    before, buckets = await whereabouts(store, draft["id"]), (await store.get(draft["id"])).buckets
    weights = [{"name": name, "weight": 20} for name in ("egreedy", "ucb", "control")]
    weights.append({"name": "thompson", "weight": 40})
    shown = (await client.post(f"{path}/validate", json={"policies": weights})).json()
    changed = (await client.patch(path, json={"policies": weights})).json()
    after = await whereabouts(store, draft["id"])
    now = (await store.get(draft["id"])).buckets
    assert sum(a != b for a, b in zip(buckets, now, strict=True)) == 0.15 * BUCKETS
    assert shown["moved_share"] == 0.15
    assert {policy["name"]: policy["share"] for policy in changed["policies"]} == {
        **dict.fromkeys(("egreedy", "ucb", "control"), 0.2),
        "thompson": 0.4,
    }
    moved = [user for user in USERS if before[user] != after[user]]
    assert {after[user] for user in moved} == {POLICY_NUMBERS["thompson"]}
    assert len(moved) / len(USERS) == pytest.approx(0.15, abs=0.02)  # seven standard errors


async def test_cohorts_are_given_to_a_running_experiment_and_start_no_epoch(
    client: AsyncClient,
) -> None:
    path = f"/api/experiments/{(await created(client, arms=['a']))['id']}"
    await client.post(f"{path}/start")
    rule = {"attribute": "country", "values": ["fr", "de"]}
    changed = (await client.patch(path, json={"cohorts": rule})).json()
    assert [changed[name] for name in ("config_no", "allocation_epoch")] == [3, 1]
    assert changed["cohorts"] == rule | {"max_values": 50}
    assert [(c["cohort_no"], c["attribute"], c["value"]) for c in changed["cohort_numbers"]] == [
        (1, "country", "fr"),
        (2, "country", "de"),
    ]
    again = (await client.patch(path, json={"cohorts": None})).json()
    assert (again["cohorts"], again["cohort_numbers"]) == (None, changed["cohort_numbers"])
    assert (await client.get(path)).json() == again


async def test_a_change_of_nothing_makes_no_version(client: AsyncClient) -> None:
    draft = await created(client)
    same = await client.patch(f"/api/experiments/{draft['id']}", json={"name": "Test"})
    assert same.json() == draft


async def test_a_stale_change_is_refused(client: AsyncClient) -> None:
    path = f"/api/experiments/{(await created(client))['id']}"

    async def change(notes: str, tag: str) -> Response:
        return await client.patch(path, json={"notes": notes}, headers={"If-Match": tag})

    first = await change("first", '"1"')
    assert first.headers["etag"] == '"2"'
    for stale in ('"1"', 'W/"2"', '"other"', "2"):
        assert problem(await change("late", stale), HTTPStatus.PRECONDITION_FAILED) == {}
    assert (await client.get(path)).json()["notes"] == "first"
    assert (await change("both", '"1", "2"')).status_code == HTTPStatus.OK
    assert (await change("any", "*")).json()["config_no"] == 4


async def test_changes_made_at_once_are_all_kept(client: AsyncClient) -> None:
    path = f"/api/experiments/{(await created(client))['id']}"
    fields = {"notes": "n", "traffic_pct": 0.4, "learn_slots": 3, "duration_days": 3.0}
    await asyncio.gather(*(client.patch(path, json={name: fields[name]}) for name in fields))
    after = (await client.get(path)).json()
    assert {name: after[name] for name in fields} == fields


async def test_what_cannot_be_changed_is_said(client: AsyncClient) -> None:
    path = f"/api/experiments/{(await created(client, arms=['a']))['id']}"
    answer = await client.patch(path, json={"arms": ["b"], "reward": {"aggregation": "sum"}})
    found = problem(answer, HTTPStatus.UNPROCESSABLE_ENTITY)
    assert set(found) == {"arms", "reward.aggregation"}
    await client.post(f"{path}/start")
    await client.post(f"{path}/stop")
    late = await client.patch(path, json={"notes": "x"})
    assert problem(late, HTTPStatus.CONFLICT) == {}
