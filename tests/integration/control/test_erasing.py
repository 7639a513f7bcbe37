"""A user is erased over REST by an admin, who is told what they are called since."""

from http import HTTPStatus
from random import Random

import pytest
from httpx import AsyncClient

from pullarm.domain.assignment import unit_of
from pullarm.storage.postgres import (
    Database,
    PostgresExperiments,
    PostgresLedger,
    PostgresPublications,
)
from pullarm.storage.redis import RedisBoard
from tests.control_api import Clock, created, problem
from tests.ledger_events import START_MS, Events, batch
from workers.publisher import Publisher


async def test_an_admin_erases_a_user(
    client: AsyncClient, database: Database, board: RedisBoard, clock: Clock
) -> None:
    draft = await created(client, arms=["a"])
    await Publisher(PostgresPublications(database), board, clock).audit()
    experiment = await PostgresExperiments(database).get(draft["id"])
    make = Events(Random(1))
    unit = unit_of(experiment.salt, "ann")
    token = make.token(experiment.number)._replace(unit_hash=unit.hash)
    await PostgresLedger(database).fold(
        batch(
            make.decision(token)._replace(unit="ann", bucket=unit.bucket),
            make.reward(token, reward_id="order-7"),
        ),
        START_MS,
    )
    why = f"/api/decisions/{token.uid.hex()}"
    assert not (await client.get(why)).json()["assignment"]["erased"]
    path = f"/api/experiments/{draft['key']}/erase"
    answer = await client.post(path, json={"user_id": "ann", "note": "request 17"})
    assert answer.status_code == HTTPStatus.OK
    erased = answer.json()
    assert erased.pop("known_as").startswith("erased-")
    assert erased == {"decisions": 1, "rewards": 1, "forced": False, "archived_days": 0}
    # Of who they were nothing is left to redo the assignment from.
    assert (await client.get(why)).json()["assignment"]["erased"]
    again = await client.post(path, json={"user_id": "ann"})
    assert again.json()["decisions"] == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "user_id"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "\x00"}, "user_id"),
        ({"user_id": "u" * 129}, "user_id"),
        ({"user": "ann"}, "user"),
        ([], "body"),
    ],
)
async def test_who_is_to_be_erased_must_be_said(
    client: AsyncClient, body: object, field: str
) -> None:
    draft = await created(client)
    answer = await client.post(f"/api/experiments/{draft['id']}/erase", json=body)
    assert field in problem(answer, HTTPStatus.UNPROCESSABLE_ENTITY)
