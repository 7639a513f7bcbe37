"""The serving contract over a running platform."""

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from cli.platform import Platform
from pullarm.client import Client
from pullarm.domain.errors import InvalidInput, NotFound
from pullarm.v1 import selection_pb2 as pb
from serving.service import NAME
from tests.e2e.upstream import CONNECTIONS, Fleet, connections, launch

if TYPE_CHECKING:
    from pullarm.v1.selection_pb2_grpc import SelectionServiceAsyncStub

pytestmark = pytest.mark.asyncio(loop_scope="session")

CALLS = ("Select", "SelectBatch", "Reward", "RewardBatch")
FEW = [f"movie-{number}" for number in range(5)]
MANY = [f"{number:04d}-{'x' * 123}" for number in range(1_000)]
"""As many candidates as one request may have, as long as they may be."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def experiment(api: httpx.AsyncClient, fleet: Fleet) -> str:
    """The id of a running experiment over FEW."""
    identity: str = (await launch(api, fleet, arms=FEW))["id"]
    return identity


async def refusal(call: Awaitable[object]) -> tuple[grpc.StatusCode, str]:
    """The status and the details of a call that is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code(), refused.value.details() or ""


def raw(channel: grpc.aio.Channel, method: str) -> "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]":
    """A call that sends and answers bytes as they are."""
    return channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)


async def test_both_processes_are_healthy_and_share_the_connections(platform: Platform) -> None:
    port = int(platform.grpc_address.rpartition(":")[2])
    pids = [platform.pids[name] for name in ("serving-0", "serving-1")]
    before = [connections(pid, port) for pid in pids]
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [
        grpc.aio.insecure_channel(platform.grpc_address, options) for _ in range(CONNECTIONS)
    ]
    for channel in channels:
        for name in ("", NAME):
            asked = health_pb2.HealthCheckRequest(service=name).SerializeToString()
            answer = await raw(channel, "/grpc.health.v1.Health/Check")(asked, timeout=60)
            told = health_pb2.HealthCheckResponse.FromString(answer).status
            assert told == health_pb2.HealthCheckResponse.SERVING
    added = [connections(pid, port) - old for pid, old in zip(pids, before, strict=True)]
    assert all(added)
    assert sum(map(len, added)) == CONNECTIONS
    await asyncio.gather(*(channel.close() for channel in channels))


async def test_reflection_tells_the_whole_contract(platform: Platform) -> None:
    def look() -> tuple[list[str], list[str]]:
        with grpc.insecure_channel(platform.grpc_address) as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            file = database.FindFileContainingSymbol(NAME)
            return list(database.get_services()), [m.name for m in file.service[0].method]

    services, methods = await asyncio.to_thread(look)
    assert {NAME, "grpc.health.v1.Health"} <= set(services)
    assert tuple(methods) == CALLS


async def test_selection_has_distinct_arms_with_the_probabilities_they_were_drawn_with(
    client: Client, experiment: str
) -> None:
    selection = await client.select(experiment, "user-1", [*FEW[:3], *FEW[:3]], slots=5)
    assert (selection.reason, len(selection.choices)) == ("ASSIGNED", 3)
    assert {choice.arm_id for choice in selection.choices} == set(FEW[:3])
    assert [choice.slot for choice in selection.choices] == [1, 2, 3]
    assert all(0 < choice.propensity <= 1 for choice in selection.choices)
    assert selection.choices[-1].propensity == 1, "one candidate was left for the last slot"
    assert selection.policy in {"thompson", "egreedy", "ucb", "control"}
    assert len(selection.decision_id) <= 512
    assert selection.posterior_version > 0


async def test_user_keeps_the_policy_and_the_experiment_answers_to_its_key_too(
    client: Client, experiment: str, api: httpx.AsyncClient
) -> None:
    key = (await api.get(f"/{experiment}")).json()["key"]
    named = [await client.select(name, "user-2") for name in (experiment, key, experiment)]
    assert len({selection.policy for selection in named}) == 1
    assert len({selection.decision_id for selection in named}) == 3


async def test_candidates_that_are_no_arms_get_the_callers_own_order(
    client: Client, experiment: str
) -> None:
    strange = await client.select(experiment, "user-3", ["x", "y", "z"], slots=2)
    assert (strange.reason, strange.policy) == ("NO_KNOWN_CANDIDATE", "none")
    assert [choice.arm_id for choice in strange.choices] == ["x", "y"]
    mixed = await client.select(experiment, "user-3", ["x", FEW[0]])
    assert (mixed.reason, mixed.arm_id) == ("ASSIGNED", FEW[0])


async def test_largest_request_is_answered(
    stub: "SelectionServiceAsyncStub", experiment: str
) -> None:
    # é has two bytes: 64 of them are the limit.
    attributes = {f"{number:02d}" + "é" * 63: "é" * 64 for number in range(32)}
    request = pb.SelectRequest(
        experiment_id=experiment,
        user_id="é" * 64,
        candidate_ids=MANY,
        slots=100,
        attributes=attributes,
        request_id="r" * 128,
    )
    answer = await stub.SelectBatch(pb.SelectBatchRequest(requests=[request] * 256), timeout=300)
    assert [result.WhichOneof("result") for result in answer.results] == ["response"] * 256
    last = answer.results[-1].response
    assert [choice.arm_id for choice in last.choices] == MANY[:100]


@pytest.mark.parametrize(
    ("field", "limit", "wrong"),
    [
        ("experiment_id", "1 to 128 bytes", {"experiment_id": ""}),
        ("experiment_id", "129 bytes; at most 128", {"experiment_id": "x" * 129}),
        ("experiment_id", "control character", {"experiment_id": "a\x00b"}),
        ("user_id", "1 to 128 bytes", {"user_id": ""}),
        ("user_id", "130 bytes; at most 128", {"user_id": "é" * 65}),
        ("user_id", "control character", {"user_id": "a\nb"}),
        ("user_id", "control character", {"user_id": "a\x85b"}),
        ("candidate_ids", "1001; at most 1000", {"candidate_ids": ["x"] * 1_001}),
        ("candidate_ids[1]", "129 bytes; at most 128", {"candidate_ids": ["x", "y" * 129]}),
        ("candidate_ids[0]", "1 to 128 bytes", {"candidate_ids": [""]}),
        ("candidate_ids[2]", "control character", {"candidate_ids": ["x", "y", "\x7f"]}),
        ("slots", "1 to 100", {"slots": -1}),
        ("slots", "1 to 100", {"slots": 101}),
        ("attributes", "33; at most 32", {"attributes": {str(n): "" for n in range(33)}}),
        ("attributes name", "1 to 128 bytes", {"attributes": {"": "x"}}),
        ("attributes name", "129 bytes; at most 128", {"attributes": {"x" * 129: "x"}}),
        ("attributes['page']", "129 bytes; at most 128", {"attributes": {"page": "x" * 129}}),
        ("attributes['page']", "control character", {"attributes": {"page": "\t"}}),
        ("request_id", "129 bytes; at most 128", {"request_id": "x" * 129}),
        ("request_id", "control character", {"request_id": "\x1b[0m"}),
    ],
)
async def test_selection_beyond_a_limit_names_field_and_limit(
    stub: "SelectionServiceAsyncStub",
    experiment: str,
    field: str,
    limit: str,
    wrong: dict[str, Any],
) -> None:
    given: dict[str, Any] = {"experiment_id": experiment, "user_id": "user"} | wrong
    request = pb.SelectRequest(**given)
    code, details = await refusal(stub.Select(request, timeout=60))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith(f"{field}: ")
    assert limit in details


@pytest.mark.parametrize(
    ("field", "limit", "wrong"),
    [
        ("decision_id", "send the decision_id of a Select", {"decision_id": ""}),
        ("decision_id", "513 characters; at most 512", {"decision_id": "x" * 513}),
        ("decision_id", "is not a decision id", {"decision_id": "Gänsefüßchen"}),
        ("arm_id", "was not chosen", {"arm_id": "movie-99"}),
        ("arm_id", "129 bytes; at most 128", {"arm_id": "x" * 129}),
        ("kind", "declared: reward", {"kind": "purchase"}),
        ("kind", "129 bytes; at most 128", {"kind": "x" * 129}),
        ("reward_id", "129 bytes; at most 128", {"reward_id": "x" * 129}),
        ("reward_id", "needed where rewards are summed or retracted", {"retract": True}),
        ("source", "control character", {"source": "\r"}),
        ("value", "0 to 1", {"value": 1.5}),
        ("value", "0 to 1", {"value": -0.1}),
        ("value", "must be finite", {"value": float("nan")}),
        ("value", "must be finite", {"value": float("inf")}),
        ("occurred_at", "in the future; at most 60", {"occurred_at": {"seconds": 2**33}}),
        ("occurred_at", "before the decision", {"occurred_at": {"seconds": 1}}),
        ("occurred_at", "no valid timestamp", {"occurred_at": {"nanos": -1}}),
    ],
)
async def test_reward_beyond_a_limit_names_field_and_limit(
    stub: "SelectionServiceAsyncStub",
    client: Client,
    experiment: str,
    field: str,
    limit: str,
    wrong: dict[str, Any],
) -> None:
    decision_id = (await client.select(experiment, "user", FEW)).decision_id
    given: dict[str, Any] = {"decision_id": decision_id, "value": 1.0} | wrong
    request = pb.RewardRequest(**given)
    code, details = await refusal(stub.Reward(request, timeout=60))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith(f"{field}: ")
    assert limit in details


@pytest.mark.parametrize(("size", "told"), [(0, "0"), (257, "more than 256")])
async def test_batch_of_a_wrong_size_names_its_limit(
    stub: "SelectionServiceAsyncStub", size: int, told: str
) -> None:
    selections = pb.SelectBatchRequest(requests=[pb.SelectRequest()] * size)
    rewards = pb.RewardBatchRequest(requests=[pb.RewardRequest()] * size)
    expected = (grpc.StatusCode.INVALID_ARGUMENT, f"requests: has {told}; give 1 to 256")
    assert await refusal(stub.SelectBatch(selections, timeout=60)) == expected
    assert await refusal(stub.RewardBatch(rewards, timeout=60)) == expected


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "sent", [b"\xff", b"\x0a\xff", b"\x0a\x05\xc3\x28", b"<html>"], ids=lambda sent: sent.hex()
)
async def test_bytes_that_are_no_message_are_the_callers_mistake(
    channel: grpc.aio.Channel, call: str, sent: bytes
) -> None:
    code, details = await refusal(raw(channel, f"/{NAME}/{call}")(sent, timeout=60))
    assert (code, details) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        f"request: is no pullarm.v1.{call}Request message",
    )


async def test_one_bad_request_leaves_the_rest_of_its_batch_alone(
    stub: "SelectionServiceAsyncStub", experiment: str
) -> None:
    requests = [
        pb.SelectRequest(experiment_id=experiment, user_id="user-4"),
        pb.SelectRequest(experiment_id=experiment),
        pb.SelectRequest(experiment_id="nothing", user_id="user-4"),
        pb.SelectRequest(experiment_id=experiment, user_id="user-5"),
    ]
    answer = await stub.SelectBatch(pb.SelectBatchRequest(requests=requests), timeout=60)
    first, unnamed, unknown, last = answer.results
    assert (unnamed.error.code, unnamed.error.message[:9]) == (3, "user_id: ")
    assert (unknown.error.code, "'nothing'" in unknown.error.message) == (5, True)
    assert first.response.decision_id != last.response.decision_id

    rewards = [
        pb.RewardRequest(decision_id=first.response.decision_id, value=1.0),
        pb.RewardRequest(decision_id="forged", value=1.0),
        pb.RewardRequest(decision_id=last.response.decision_id, value=2.0),
    ]
    judged = await stub.RewardBatch(pb.RewardBatchRequest(requests=rewards), timeout=60)
    accepted, forged, too_much = judged.results
    assert accepted.response.status == pb.REWARD_STATUS_ACCEPTED
    assert (forged.error.code, forged.error.message[:13]) == (3, "decision_id: ")
    assert (too_much.error.code, too_much.error.message[:7]) == (3, "value: ")


async def test_unknown_experiment_and_method_are_told_as_such(
    client: Client, channel: grpc.aio.Channel
) -> None:
    with pytest.raises(NotFound, match="experiment_id: there is no experiment 'exp_unknown'"):
        await client.select("exp_unknown", "user", FEW)
    code, _ = await refusal(raw(channel, f"/{NAME}/Predict")(b"", timeout=60))
    assert code is grpc.StatusCode.UNIMPLEMENTED


async def test_client_raises_what_is_wrong_with_which_field(
    client: Client, experiment: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await client.select(experiment, "user", FEW, slots=1_000)
    (problem,) = refused.value.problems
    assert (problem.field, problem.detail) == ("slots", "is 1000; give 1 to 100, or 0 for 1")
