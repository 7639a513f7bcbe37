"""What becomes of every reward is told, by status, to its caller, to a scrape and to the ledger."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from pullarm.client import Client
from pullarm.domain.decision import NO_EXPERIMENT, NO_POLICY, Reason, RewardStatus, Token
from pullarm.domain.decision_id import KeyRing, encode
from pullarm.domain.errors import InvalidInput, NotFound, PullarmError
from pullarm.v1 import selection_pb2 as pb
from pullarm.v1.selection_pb2_grpc import SelectionServiceStub
from serving.access import ANYBODY
from tests.builders import KEYS, TOKEN
from tests.ledger_events import START_MS
from tests.serving_parts import DECISION_ID, Server, serving, status

if TYPE_CHECKING:
    from pullarm.v1.selection_pb2_grpc import SelectionServiceAsyncStub

SEEDED = Random(11)
FOREIGN = KeyRing(deployment=bytes(16), sign=KEYS.sign, keys=KEYS.keys)
OUTSIDE = TOKEN._replace(assigned=0, acting=0, reason=Reason.NOT_IN_TRAFFIC)
CONTROL = TOKEN.assigned


def reward(token: Token = TOKEN, **fields: Any) -> pb.RewardRequest:
    given: dict[str, Any] = {"decision_id": encode(token, KEYS), "value": 1.0} | fields
    return pb.RewardRequest(**given)


def at(ms: int) -> dict[str, int]:
    return {"seconds": ms // 1_000}


EVERY = {
    RewardStatus.ACCEPTED: reward(),
    RewardStatus.LATE: reward(TOKEN._replace(uid=bytes(16))),
    RewardStatus.NOT_IN_EXPERIMENT: reward(OUTSIDE),
    RewardStatus.MALFORMED_REQUEST: reward(source="x" * 129),
    RewardStatus.MALFORMED_ID: reward(decision_id="nothing"),
    RewardStatus.FORGED_ID: reward(decision_id=encode(TOKEN, FOREIGN)),
    RewardStatus.EXPERIMENT_GONE: reward(TOKEN._replace(experiment=9)),
    RewardStatus.UNKNOWN_ARM: reward(arm_id="never chosen"),
    RewardStatus.UNKNOWN_KIND: reward(kind="never declared"),
    RewardStatus.INVALID_VALUE: reward(value=float("nan")),
    RewardStatus.MISSING_REWARD_ID: reward(retract=True),
    RewardStatus.IN_FUTURE: reward(occurred_at=at(START_MS + 3_600_000)),
    RewardStatus.BEFORE_DECISION: reward(occurred_at=at(START_MS - 3_600_000)),
}
COUNTED_FOR = {
    RewardStatus.NOT_IN_EXPERIMENT: (7, NO_POLICY),
    RewardStatus.MALFORMED_ID: (NO_EXPERIMENT, NO_POLICY),
    RewardStatus.FORGED_ID: (NO_EXPERIMENT, NO_POLICY),
    RewardStatus.EXPERIMENT_GONE: (9, CONTROL),
}
"""Experiment and policy, where they are not those of TOKEN."""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as server:
        yield server


@pytest.fixture
async def stub(server: Server) -> "AsyncIterator[SelectionServiceAsyncStub]":
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield SelectionServiceStub(channel)


def test_every_status_has_its_example() -> None:
    assert list(EVERY) == list(RewardStatus)


@pytest.mark.parametrize("expected", RewardStatus, ids=lambda status: status.name)
async def test_single_reward_is_told_and_counted_by_status(
    server: Server, stub: "SelectionServiceAsyncStub", expected: RewardStatus
) -> None:
    call = stub.Reward(EVERY[expected])
    if expected.kept:
        assert int((await call).status) == expected
    else:
        code, _ = await status(call)
        gone = expected is RewardStatus.EXPERIMENT_GONE
        assert code.name == ("NOT_FOUND" if gone else "INVALID_ARGUMENT")
        told = dict(await call.trailing_metadata())
        assert told["pullarm-reward-status"] == expected.name
    assert [kept.status for kept in server.sink.stored.rewards] == [expected][: expected.kept]
    assert server.counters.rewards == {expected: 1}
    (minute,) = server.counters.take()
    assert (minute.experiment, minute.policy) == COUNTED_FOR.get(expected, (7, CONTROL))
    assert minute.refused == ({} if expected.kept else {expected: 1})
    assert (minute.rewards, minute.calls, minute.minute) == (1, 0, (START_MS + 1_000) // 60_000)


async def test_each_reward_of_a_batch_is_told_and_counted_by_status(
    server: Server, stub: "SelectionServiceAsyncStub"
) -> None:
    asked = pb.RewardBatchRequest(requests=[*EVERY.values()] * 3)
    results = (await stub.RewardBatch(asked)).results
    assert [int(result.status) for result in results] == [*EVERY] * 3
    assert [result.HasField("response") for result in results] == [s.kept for s in EVERY] * 3
    assert [kept.status for kept in server.sink.stored.rewards] == [1, 2, 3] * 3
    assert server.counters.rewards == dict.fromkeys(EVERY, 3)
    minutes = server.counters.take()
    assert sum(minute.rewards for minute in minutes) == 3 * len(EVERY)
    refused: Counter[int] = sum((Counter(minute.refused) for minute in minutes), Counter())
    assert refused == {one: 3 for one in EVERY if not one.kept}


async def test_client_raises_the_status_a_reward_is_refused_with(server: Server) -> None:
    async with Client(server.address) as client:
        with pytest.raises(InvalidInput) as refused:
            await client.reward(DECISION_ID, 1.5)
        assert refused.value.reward_status is RewardStatus.INVALID_VALUE
        with pytest.raises(NotFound) as gone:
            await client.reward(EVERY[RewardStatus.EXPERIMENT_GONE].decision_id, 1.0)
        assert gone.value.reward_status is RewardStatus.EXPERIMENT_GONE
        with pytest.raises(InvalidInput) as of_a_selection:
            await client.select("exp_7", "")
        assert of_a_selection.value.reward_status is None


async def test_a_reward_that_finds_no_room_is_not_judged(
    server: Server, stub: "SelectionServiceAsyncStub", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.log, "full", lambda: "no room")
    code, _ = await status(stub.Reward(EVERY[RewardStatus.ACCEPTED]))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (server.counters.rewards, server.counters.take()) == ({}, [])


def forged(genuine: str) -> str:
    """Another id of as many characters: changed in one to eight places, or drawn anew."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    if SEEDED.random() < 0.1:
        return "".join(SEEDED.choices(alphabet, k=len(genuine)))
    letters = list(genuine)
    for place in SEEDED.sample(range(len(letters)), SEEDED.randint(1, 8)):
        letters[place] = SEEDED.choice(alphabet.replace(letters[place], ""))
    return "".join(letters)


async def test_of_100_000_forged_ids_none_is_accepted_and_all_share_one_row(server: Server) -> None:
    kinds = (f"kind-{number}" for number in range(100_000))
    for kind in kinds:
        request = reward(decision_id=forged(DECISION_ID), kind=kind)
        with pytest.raises(PullarmError):
            server.service.judge(request.SerializeToString(), ANYBODY)
    counted = server.counters.rewards
    assert counted.keys() == {RewardStatus.FORGED_ID, RewardStatus.MALFORMED_ID}
    assert counted.total() == 100_000
    (minute,) = server.counters.take()
    assert (minute.experiment, minute.policy, minute.rewards) == (NO_EXPERIMENT, NO_POLICY, 100_000)
    assert minute.refused == dict(counted)
