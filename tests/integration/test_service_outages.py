"""The four calls while the event stream is away: answered from the spool, and without one as far as that goes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from pullarm.domain.decision import RewardStatus
from pullarm.v1 import selection_pb2 as pb
from pullarm.v1.selection_pb2_grpc import SelectionServiceStub
from serving.waiter import Durability
from tests.serving_parts import DECISION_ID, Server, serving, status
from tests.sink import hurry, until

if TYPE_CHECKING:
    from pullarm.v1.selection_pb2_grpc import SelectionServiceAsyncStub

SELECT = pb.SelectRequest(experiment_id="exp_7", user_id="user", candidate_ids=["two", "one"])
REWARD = pb.RewardRequest(decision_id=DECISION_ID, value=1.0)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as server:
        yield server


@pytest.fixture
async def stub(server: Server) -> AsyncIterator["SelectionServiceAsyncStub"]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield SelectionServiceStub(channel)


async def test_answers_go_on_while_the_stream_is_away_and_say_where_their_events_are(
    server: Server, stub: "SelectionServiceAsyncStub", monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await durability(stub.Select(SELECT)) == "acknowledged"
    hurry(monkeypatch)
    server.sink.refuses = True
    batch = pb.SelectBatchRequest(requests=[SELECT] * 2)
    for call in (stub.Select(SELECT), stub.SelectBatch(batch), stub.Reward(REWARD)):
        assert await durability(call) == "spooled"
    server.sink.refuses = False
    await until(lambda: server.sink.stored.rewards and server.spool.waiting_entries == 0)
    assert len({decision.token.uid for decision in server.sink.stored.decisions}) == 4
    assert server.sink.stored.voids == []


async def test_without_room_selections_are_controls_choice_and_rewards_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    async with serving(tmp_path, spool_bytes=100) as full:
        full.sink.refuses = True
        async with grpc.aio.insecure_channel(full.address) as to:
            stub = SelectionServiceStub(to)
            batch = pb.SelectBatchRequest(requests=[SELECT, pb.SelectRequest(), SELECT])
            for _ in range(3):  # found out, then known
                call = stub.Select(SELECT)
                answer = await call
                assert await durability(call) == "nowhere"
                assert (answer.reason, answer.policy) == (pb.REASON_SPOOL_FULL, "none")
                assert [choice.arm_id for choice in answer.choices] == [SELECT.candidate_ids[0]]
                results = (await stub.SelectBatch(batch)).results
                assert [r.WhichOneof("result") for r in results] == [
                    "response",
                    "error",
                    "response",
                ]
                told, said = await status(stub.Reward(REWARD))
                assert told is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert "the spool holds" in said
            (minute,) = full.counters.take()
            assert (minute.experiment, minute.policy) == (7, 1)
            assert (minute.calls, minute.errors) == (9, 9)
            full.sink.refuses = False
            await until(lambda: full.log.trouble is None)
            await asyncio.sleep(0.02)
            assert (
                await durability(stub.Reward(pb.RewardRequest(decision_id=answer.decision_id)))
                == "acknowledged"
            )
            assert full.sink.stored.rewards[-1].status == RewardStatus.NOT_IN_EXPERIMENT
            assert await durability(stub.Select(SELECT)) == "acknowledged"


async def test_buffered_answers_come_first_and_say_so(
    server: Server, stub: "SelectionServiceAsyncStub"
) -> None:
    server.log.durability = Durability.BUFFERED
    server.sink.open.clear()
    assert await durability(stub.Select(SELECT)) == "buffered"
    assert server.sink.stored.decisions == []
    server.sink.open.set()
    await until(lambda: server.sink.stored.decisions)


async def test_answers_say_what_the_process_does_without(
    server: Server, stub: "SelectionServiceAsyncStub"
) -> None:
    for reasons, said in (
        (["Redis\nis away", "\u00fc"], "Redis?is away; ?"),
        (["x" * 999], "x" * 200),
    ):
        server.service.tell_degraded(reasons)
        call = stub.Select(SELECT)
        await call
        assert dict(await call.trailing_metadata())["pullarm-degraded"] == said
    server.service.tell_degraded([])
    call = stub.Select(SELECT)
    await call
    assert dict(await call.trailing_metadata()) == {"pullarm-durability": "acknowledged"}


async def durability(call: "grpc.aio.UnaryUnaryCall[Any, Any]") -> str:
    await call
    return str(dict(await call.trailing_metadata())["pullarm-durability"])
