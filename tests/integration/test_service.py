"""The four calls over a real gRPC server: answered once stored, refused with the right status, voided when given up."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import grpc
import pytest

from pullarm.domain.decision import RewardStatus
from pullarm.domain.decision_id import decode, encode
from pullarm.domain.errors import PullarmError
from pullarm.storage.memory import MemoryBoard
from pullarm.v1 import selection_pb2 as pb
from pullarm.v1.selection_pb2_grpc import SelectionServiceStub
from serving.access import ANYBODY
from serving.refresher import Refresher
from serving.service import NAME, SelectionService
from tests.builders import KEYS, TOKEN, FixedClock
from tests.ledger_events import START_MS
from tests.serving_parts import DECISION_ID, Server, serving, status
from tests.sink import until

if TYPE_CHECKING:
    from pullarm.v1.selection_pb2_grpc import SelectionServiceAsyncStub

SELECT = pb.SelectRequest(experiment_id="exp_7", user_id="user", candidate_ids=["two", "one"])
REWARD = pb.RewardRequest(decision_id=DECISION_ID, value=1.0)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as server:
        yield server


@pytest.fixture
async def channel(server: Server) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> "SelectionServiceAsyncStub":
    return SelectionServiceStub(channel)


def raw(channel: grpc.aio.Channel, name: str) -> "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]":
    """A call that sends and answers bytes as they are."""
    return channel.unary_unary(
        f"/{NAME}/{name}", request_serializer=bytes, response_deserializer=bytes
    )


async def test_selection_is_answered_as_it_is_stored(
    server: Server, stub: "SelectionServiceAsyncStub"
) -> None:
    response = await stub.Select(SELECT)
    (decision,) = server.sink.stored.decisions
    assert decode(response.decision_id, KEYS) == decision.token
    assert [(c.arm_id, c.slot, c.propensity) for c in response.choices] == [("two", 1, 1.0)]
    assert (response.policy, response.reason) == ("control", pb.REASON_ASSIGNED)
    assert (response.posterior_version, decision.pub_no) == (5, 5)


async def test_reward_is_acknowledged_as_it_is_stored(
    server: Server, stub: "SelectionServiceAsyncStub"
) -> None:
    response = await stub.Reward(REWARD)
    (reward,) = server.sink.stored.rewards
    assert response.status == pb.REWARD_STATUS_ACCEPTED
    assert (reward.token, reward.status) == (TOKEN, RewardStatus.ACCEPTED)


async def test_nothing_is_answered_before_it_is_stored(
    server: Server, stub: "SelectionServiceAsyncStub"
) -> None:
    server.sink.open.clear()
    calls = [asyncio.ensure_future(stub.Select(SELECT)), asyncio.ensure_future(stub.Reward(REWARD))]
    await until(lambda: server.sink.tries)
    await asyncio.sleep(0.05)
    assert not any(call.done() for call in calls)
    server.sink.open.set()
    await asyncio.gather(*calls)


async def test_other_callers_have_their_turn_within_a_batch(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.service._TURN_S", 0.0)
    slate = pb.SelectRequest(experiment_id="exp_7", user_id="user", slots=2)  # decided one by one
    batch = pb.SelectBatchRequest(requests=[slate] * 50)
    deciding = asyncio.create_task(server.service.select_batch(batch.SerializeToString(), ANYBODY))
    turns = 0
    while not deciding.done():
        await asyncio.sleep(0)
        turns += 1
    response, _ = await deciding
    assert len(pb.SelectBatchResponse.FromString(response).results) == 50
    assert turns >= 100  # of deciding as of telling


def errors_alive() -> int:
    return sum(issubclass(type(each), PullarmError) for each in gc.get_objects())


async def test_nothing_of_a_refused_request_waits_for_the_collector(server: Server) -> None:
    """It looks rarely, and a batch may be of many megabytes."""
    asked = [SELECT, *(pb.SelectRequest(experiment_id=one) for one in ("exp_7", "no"))]
    batch = pb.SelectBatchRequest(requests=asked).SerializeToString() + b"\x0a\x01\xff"
    _, *outcomes = await server.service._decide_all(batch, ANYBODY)
    assert [cast("PullarmError", each).__traceback__ for each in outcomes] == [None] * 3
    del outcomes
    gc.collect()
    gc.disable()
    try:
        before = errors_alive()
        await server.service.select_batch(batch, ANYBODY)
        assert errors_alive() == before
    finally:
        gc.enable()


async def test_batch_of_selections_has_a_result_or_error_for_each(
    server: Server, stub: "SelectionServiceAsyncStub"
) -> None:
    bad_slots = pb.SelectRequest(experiment_id="exp_7", user_id="user", slots=101)
    unknown = pb.SelectRequest(experiment_id="nothing", user_id="user")
    other = pb.SelectRequest(experiment_id="key-7", user_id="other", candidate_ids=["three"])
    asked = [SELECT, bad_slots, unknown, other]
    results = (await stub.SelectBatch(pb.SelectBatchRequest(requests=asked))).results
    assert [result.WhichOneof("result") for result in results] == [
        *("response", "error", "error", "response")
    ]
    assert (results[1].error.code, results[1].error.message) == (
        grpc.StatusCode.INVALID_ARGUMENT.value[0],
        "slots: is 101; give 1 to 100, or 0 for 1",
    )
    assert results[2].error.code == grpc.StatusCode.NOT_FOUND.value[0]
    assert [results[0].response.choices[0].arm_id, results[3].response.choices[0].arm_id] == [
        *("two", "three")
    ]
    assert [decision.unit for decision in server.sink.stored.decisions] == ["user", "other"]
    assert len(server.sink.entries) == 1


async def test_batch_of_rewards_has_a_result_or_error_for_each(
    server: Server, stub: "SelectionServiceAsyncStub"
) -> None:
    late = encode(TOKEN._replace(uid=bytes(16)), KEYS)
    asked = [
        pb.RewardRequest(decision_id="forged", value=1.0),
        REWARD,
        pb.RewardRequest(decision_id=DECISION_ID, value=2.0),
        pb.RewardRequest(decision_id=late, value=1.0),
    ]
    results = (await stub.RewardBatch(pb.RewardBatchRequest(requests=asked))).results
    assert results[0].error.code == results[2].error.code == 3
    assert results[0].error.message.startswith("decision_id: ")
    assert results[2].error.message.startswith("value: ")
    assert results[1].response.status == pb.REWARD_STATUS_ACCEPTED
    assert results[3].response.status == pb.REWARD_STATUS_LATE
    assert [reward.status for reward in server.sink.stored.rewards] == [1, 2]
    assert [result.status for result in results] == [
        pb.REWARD_STATUS_MALFORMED_ID,
        pb.REWARD_STATUS_ACCEPTED,
        pb.REWARD_STATUS_INVALID_VALUE,
        pb.REWARD_STATUS_LATE,
    ]


async def test_batch_in_which_all_is_refused_is_answered(
    server: Server, stub: "SelectionServiceAsyncStub"
) -> None:
    selections = await stub.SelectBatch(
        pb.SelectBatchRequest(requests=[pb.SelectRequest()] * 3), timeout=30
    )
    rewards = await stub.RewardBatch(
        pb.RewardBatchRequest(requests=[pb.RewardRequest()] * 3), timeout=30
    )
    for results in (selections.results, rewards.results):
        assert [result.error.code for result in results] == [3, 3, 3]
    assert server.sink.tries == 0


@pytest.mark.parametrize(
    ("request_", "code", "details"),
    [
        (pb.SelectRequest(user_id="u"), "INVALID_ARGUMENT", "experiment_id: is empty"),
        (pb.SelectRequest(experiment_id="no", user_id="u"), "NOT_FOUND", "experiment_id: there"),
        (
            pb.SelectRequest(experiment_id="Gerät", user_id="u"),
            "NOT_FOUND",
            "experiment_id: there is no experiment 'Gerät'",
        ),
        (
            pb.SelectRequest(experiment_id="exp_7", user_id="u\x00"),
            "INVALID_ARGUMENT",
            "user_id: contains a control character",
        ),
        (
            pb.SelectRequest(experiment_id="exp_7", user_id="u", candidate_ids=[""] * 1_000),
            "INVALID_ARGUMENT",
            "candidate_ids[0]: is empty; give 1 to 128 bytes; candidate_ids[1]",
        ),
        (pb.SelectBatchRequest(), "INVALID_ARGUMENT", "requests: has 0; give 1 to 256"),
        (
            pb.SelectBatchRequest(requests=[SELECT] * 257),
            "INVALID_ARGUMENT",
            "requests: has more than 256; give 1 to 256",
        ),
        (pb.RewardRequest(), "INVALID_ARGUMENT", "decision_id: is empty"),
        (pb.RewardRequest(decision_id="x" * 600), "INVALID_ARGUMENT", "decision_id: has 600"),
        (
            pb.RewardRequest(decision_id=DECISION_ID, value=float("nan")),
            "INVALID_ARGUMENT",
            "value: is nan; it must be finite",
        ),
        (
            pb.RewardRequest(decision_id=encode(TOKEN._replace(experiment=9), KEYS)),
            "NOT_FOUND",
            "decision_id: its experiment is gone",
        ),
        (pb.RewardBatchRequest(), "INVALID_ARGUMENT", "requests: has 0; give 1 to 256"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value[:24],
)
async def test_bad_request_is_told_with_its_field(
    server: Server,
    channel: grpc.aio.Channel,
    request_: pb.SelectRequest,
    code: str,
    details: str,
) -> None:
    name = type(request_).__name__.removesuffix("Request")
    told, said = await status(raw(channel, name)(request_.SerializeToString()))
    assert (told.name, said[: len(details)]) == (code, details)
    assert server.sink.tries == 0


@pytest.mark.parametrize("name", ["Select", "SelectBatch", "Reward", "RewardBatch"])
@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05ab", b"\x0a\xff\xff\xff\xff\xff\xff\x01"])
async def test_bytes_that_are_no_message_are_the_callers_mistake(
    channel: grpc.aio.Channel, name: str, data: bytes
) -> None:
    told, said = await status(raw(channel, name)(data))
    assert told is grpc.StatusCode.INVALID_ARGUMENT
    assert said == f"request: is no pullarm.v1.{name}Request message"


@pytest.mark.parametrize("name", ["Select", "Reward"])
async def test_text_that_is_no_text_concerns_one_request_only(
    channel: grpc.aio.Channel, name: str
) -> None:
    no_text = b"\x0a\x02\xff\xfe"
    error = f"request: is no pullarm.v1.{name}Request message"
    assert await status(raw(channel, name)(no_text)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        error,
    )
    answer = await raw(channel, f"{name}Batch")(b"\x0a\x04" + no_text)
    if name == "Select":
        told = [
            result.error.message for result in pb.SelectBatchResponse.FromString(answer).results
        ]
    else:
        told = [
            result.error.message for result in pb.RewardBatchResponse.FromString(answer).results
        ]
    assert told == [error]


async def test_server_without_a_snapshot_is_unavailable(
    server: Server, stub: "SelectionServiceAsyncStub"
) -> None:
    server.service = SelectionService(
        Refresher(MemoryBoard()), server.log, server.counters, KEYS, FixedClock(), server.callers
    )
    service = server.service
    calls = (
        service.select(SELECT.SerializeToString(), ANYBODY),
        service.reward(REWARD.SerializeToString(), ANYBODY),
    )
    for refused in calls:
        with pytest.raises(PullarmError) as caught:
            await refused
        assert caught.value.code == "unavailable"


async def test_answers_are_counted_by_policy(
    server: Server, stub: "SelectionServiceAsyncStub"
) -> None:
    await stub.Select(SELECT)
    await stub.SelectBatch(pb.SelectBatchRequest(requests=[SELECT, pb.SelectRequest(), SELECT]))
    (minute,) = server.counters.take()
    assert (minute.minute, minute.policy) == ((START_MS + 1_000) // 60_000, 1)
    assert (minute.calls, minute.errors, sum(minute.sketch.values())) == (3, 0, 3)


@pytest.mark.parametrize("how", ["cancelled", "deadline"])
async def test_caller_that_gives_up_is_voided_and_its_mates_notice_nothing(
    server: Server,
    stub: "SelectionServiceAsyncStub",
    how: str,
) -> None:
    server.sink.open.clear()
    quitter = stub.Select(
        pb.SelectRequest(experiment_id="exp_7", user_id="quitter"),
        timeout=2.0 if how == "deadline" else None,
    )
    await until(lambda: server.sink.tries)
    mates = [asyncio.ensure_future(stub.Select(SELECT)) for _ in range(20)]
    if how == "cancelled":
        assert quitter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await quitter
    else:
        assert (await status(quitter))[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: server.log.voids)  # the server has heard of it
    server.sink.open.set()
    answers = await asyncio.gather(*mates)
    await until(lambda: server.sink.stored.voids)
    (given_up,) = [d.token for d in server.sink.stored.decisions if d.unit == "quitter"]
    assert server.sink.stored.voids == [given_up]
    stored = {d.token.uid for d in server.sink.stored.decisions if d.unit == "user"}
    assert {decode(answer.decision_id, KEYS).uid for answer in answers} == stored
    assert len(stored) == 20


class Late:
    """The context of a call whose deadline has passed."""

    def time_remaining(self) -> float:
        return -0.001

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        raise TimeoutError(code.name, details)


async def test_call_past_its_deadline_is_not_stored(server: Server) -> None:
    for name, request in (("Select", SELECT), ("Reward", REWARD)):
        handle = cast(
            "Callable[[object, Late], Awaitable[object]]",
            server.service.handlers()[f"/{NAME}/{name}"].unary_unary,
        )
        with pytest.raises(TimeoutError, match="DEADLINE_EXCEEDED"):
            await handle(request, Late())
    assert server.sink.tries == 0
