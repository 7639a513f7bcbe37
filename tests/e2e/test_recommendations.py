"""The example upstream: recommendations over REST are decisions of serving, which the ledger has."""

import asyncio
from http import HTTPStatus

import httpx
import pytest

from cli.platform import Platform
from pullarm.client import Client
from pullarm.domain.decision_id import decode
from serving.settings import read_keys
from tests.e2e import upstream
from tests.e2e.upstream import PATIENCE_S, Fleet, answered, launch, recommended

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROUTE = "/api/movies/recommendations"


async def test_films_are_recommended_by_serving_and_rewarded_by_their_decision(
    platform: Platform, api: httpx.AsyncClient, fleet: Fleet, client: Client
) -> None:
    films = ["Alien", "Brazil", "Casablanca"]
    experiment = (await launch(api, fleet, arms=films, policies="thompson"))["id"]
    async with upstream.http(platform) as http:
        found = await recommended(http, experiment, "somebody")
    assert (found["policy"], found["reason"]) == ("thompson", "ASSIGNED")
    shown = [(each["movie_id"], each["slot"]) for each in found["recommendations"]]
    assert [slot for _, slot in shown] == [1, 2]
    assert len({film for film, _ in shown} & set(films)) == 2
    assert all(0 < each["propensity"] <= 1 for each in found["recommendations"])
    await client.reward(found["decision_id"], 1.0, arm=shown[0][0])
    uid = decode(found["decision_id"], read_keys(platform.environment)).uid.hex()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            events = (await answered(api.get(f"/{experiment}/events")))["events"]
            mine = [event for event in events if event["uid"] == uid]
            if mine and any(slot["rewards"] for slot in mine[0]["slots"]):
                break
            await asyncio.sleep(0.05)
    (event,) = mine
    assert event["unit"] == "somebody"
    assert [(slot["id"], slot["slot"]) for slot in event["slots"]] == shown
    assert list(event["slots"][0]["rewards"].values()) == [1.0]
    assert event["slots"][1]["rewards"] == {}


async def test_what_is_wrong_is_said(platform: Platform) -> None:
    async with upstream.http(platform) as http:
        unknown = await http.get(ROUTE, params={"experiment_id": "nothing", "user_id": "x"})
        many = await http.get(
            ROUTE, params={"experiment_id": "nothing", "user_id": "x", "slots": 99}
        )
    assert unknown.status_code == HTTPStatus.NOT_FOUND
    assert many.status_code == HTTPStatus.BAD_REQUEST
    assert [each["field"] for each in many.json()["problems"]] == ["slots"]
