"""Rewards over a running platform: whose they are, what is forged, and what the edge says of them."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio

from cli.platform import Platform
from pullarm.client import Client
from pullarm.domain.decision_id import KeyRing, decode, encode
from pullarm.domain.errors import InvalidInput
from pullarm.v1 import selection_pb2 as pb
from serving.settings import read_keys
from tests.e2e.upstream import Fleet, create, launch

if TYPE_CHECKING:
    from pullarm.v1.selection_pb2_grpc import SelectionServiceAsyncStub

pytestmark = pytest.mark.asyncio(loop_scope="session")

FORGED = (
    "decision_id: is not a decision id of this deployment; "
    "send the decision_id of a Select unchanged"
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def experiment(api: httpx.AsyncClient, fleet: Fleet) -> str:
    identity: str = (await launch(api, fleet))["id"]
    return identity


async def test_id_with_any_bit_changed_is_refused(
    stub: "SelectionServiceAsyncStub", client: Client, experiment: str
) -> None:
    genuine = (await client.select(experiment, "user")).decision_id
    signed = urlsafe_b64decode(genuine + "=" * (-len(genuine) % 4))
    forged = [
        bytes(byte ^ (1 << place % 8) if at == place else byte for at, byte in enumerate(signed))
        for place in range(len(signed))
    ]
    sent = [urlsafe_b64encode(each).rstrip(b"=").decode() for each in forged]
    sent += [genuine[:-1], genuine + "A", genuine + "=", f" {genuine}", genuine.swapcase()]
    requests = [pb.RewardRequest(decision_id=each, value=1.0) for each in sent]
    answer = await stub.RewardBatch(pb.RewardBatchRequest(requests=requests), timeout=60)
    assert {(each.error.code, each.error.message) for each in answer.results} == {(3, FORGED)}
    assert await client.reward(genuine, 1.0) == "ACCEPTED"


async def test_id_of_another_deployment_is_refused(
    platform: Platform, client: Client, experiment: str
) -> None:
    ring = read_keys(platform.environment)
    token = decode((await client.select(experiment, "user")).decision_id, ring)
    other_key = KeyRing(deployment=ring.deployment, sign=1, keys={1: bytes(32)})
    other_place = KeyRing(deployment=bytes(16), sign=ring.sign, keys=ring.keys)
    for foreign in (other_key, other_place):
        with pytest.raises(InvalidInput, match="is not a decision id of this deployment"):
            await client.reward(encode(token, foreign), 1.0)


async def test_reward_of_several_slots_names_its_arm(client: Client, experiment: str) -> None:
    page = await client.select(experiment, "user", ["a", "b"], slots=2)
    with pytest.raises(InvalidInput, match=r"arm_id: is empty; the decision filled 2 slots"):
        await client.reward(page.decision_id, 1.0)
    assert await client.reward(page.decision_id, 1.0, arm="b") == "ACCEPTED"


async def test_reward_outside_the_experiment_is_acknowledged_as_such(
    api: httpx.AsyncClient, fleet: Fleet, client: Client
) -> None:
    draft = await create(api)
    await fleet.until_reason("NOT_RUNNING", draft["id"])
    decision = await client.select(draft["id"], "user", ["b", "a"])
    assert (decision.arm_id, decision.policy) == ("b", "none")
    assert await client.reward(decision.decision_id, 1.0) == "NOT_IN_EXPERIMENT"


async def test_reward_after_the_window_is_late(
    api: httpx.AsyncClient, fleet: Fleet, client: Client
) -> None:
    a_tenth_of_a_second = 0.1 / 3600
    experiment = await launch(api, fleet, window_hours=a_tenth_of_a_second)
    decision = await client.select(experiment["id"], "user")
    status = "ACCEPTED"
    while status == "ACCEPTED":
        status = await client.reward(decision.decision_id, 1.0)
    assert status == "LATE"
