"""Tokens at gRPC: who may call for what, and how soon one that is revoked ends."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from pullarm.client import Client
from pullarm.domain.access import Caller, Principal, Role, Token, digest
from pullarm.domain.audit import Author
from pullarm.domain.errors import Forbidden, Unauthenticated, Unavailable
from pullarm.domain.ports import Posted
from pullarm.storage.memory import MemoryCallers
from pullarm.storage.postgres import Database, PostgresTokens
from pullarm.storage.postgres.times import at
from pullarm.storage.redis import RedisCallers, connect
from pullarm.v1 import selection_pb2 as pb
from pullarm.v1.selection_pb2_grpc import SelectionServiceStub
from serving.access import Callers
from tests.builders import FixedClock, experiment, publication
from tests.ledger_events import START_MS
from tests.serving_parts import DECISION_ID, Server, serving, status
from workers.callers import CallerPublisher

if TYPE_CHECKING:
    from pullarm.v1.selection_pb2_grpc import SelectionServiceAsyncStub

ALL, MINE, OTHERS, SHORT = ("pullarm_" + letter * 43 for letter in "amos")
AUTHOR = Author("test", "command")
ENDS_MS = START_MS + 5_000
SELECT = pb.SelectRequest(experiment_id="exp_7", user_id="user", candidate_ids=["two", "one"])
REWARD = pb.RewardRequest(decision_id=DECISION_ID, value=1.0)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server that requires tokens, with four of them; experiment 7 is the one there is."""
    async with serving(tmp_path, require_tokens=True) as server:
        await server.caller_board.post(
            [
                Caller(digest(ALL), "all", None, None),
                Caller(digest(MINE), "mine", (7, 9), None),
                Caller(digest(OTHERS), "others", (8,), None),
                Caller(digest(SHORT), "short", None, ENDS_MS),
            ]
        )
        await server.callers.refresh()
        yield server


@pytest.fixture
async def stub(server: Server) -> AsyncIterator["SelectionServiceAsyncStub"]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield SelectionServiceStub(channel)


def bearer(secret: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {secret}"),)


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", ""),),
        (("authorization", ALL),),
        (("authorization", f"Basic {ALL}"),),
        bearer("pullarm_" + "x" * 43),
        (*bearer("nonsense"), *bearer(ALL)),
    ],
)
async def test_who_shows_no_good_token_is_refused_by_every_call(
    server: Server, stub: "SelectionServiceAsyncStub", metadata: tuple[tuple[str, str], ...]
) -> None:
    for call in (
        stub.Select(SELECT, metadata=metadata),
        stub.Reward(REWARD, metadata=metadata),
        stub.SelectBatch(pb.SelectBatchRequest(requests=[SELECT]), metadata=metadata),
        stub.RewardBatch(pb.RewardBatchRequest(requests=[REWARD]), metadata=metadata),
    ):
        code, detail = await status(call)
        assert code is grpc.StatusCode.UNAUTHENTICATED
        assert "authorization: Bearer TOKEN" in detail
    assert not server.sink.stored.events()
    assert server.counters.refusals["Select", "UNAUTHENTICATED"] == 1


async def test_a_token_calls_for_its_experiments_alone(
    server: Server, stub: "SelectionServiceAsyncStub"
) -> None:
    for secret in (ALL, MINE):
        assert (await stub.Select(SELECT, metadata=bearer(secret))).decision_id
        answer = await stub.Reward(REWARD, metadata=bearer(secret))
        assert answer.status == pb.REWARD_STATUS_ACCEPTED
    refusals = [
        await status(stub.Select(request, metadata=bearer(OTHERS)))
        for request in (SELECT, pb.SelectRequest(experiment_id="nothing", user_id="u"))
    ]
    assert refusals[0] == refusals[1]  # whether it exists is not told
    assert refusals[0][0] is grpc.StatusCode.PERMISSION_DENIED
    code, detail = await status(stub.Reward(REWARD, metadata=bearer(OTHERS)))
    assert (code, detail.split(":")[0]) == (grpc.StatusCode.PERMISSION_DENIED, "decision_id")
    batch = pb.SelectBatchRequest(requests=[SELECT, SELECT])
    results = (await stub.SelectBatch(batch, metadata=bearer(OTHERS))).results
    assert {result.error.code for result in results} == {grpc.StatusCode.PERMISSION_DENIED.value[0]}


async def test_in_a_batch_each_is_refused_or_answered_as_it_would_be_alone(
    server: Server, stub: "SelectionServiceAsyncStub"
) -> None:
    await server.board.publish(publication(experiment(number=8), pub_no=5))
    await server.board.complete("one", [7, 8])
    await server.refresher.refresh()
    allowed = pb.SelectRequest(experiment_id="exp_8", user_id="u", candidate_ids=["one"])
    unknown = pb.SelectRequest(experiment_id="no", user_id="u")
    requests = [allowed, SELECT, SELECT, allowed, unknown, allowed]
    batch = pb.SelectBatchRequest(requests=requests)
    results = (await stub.SelectBatch(batch, metadata=bearer(OTHERS))).results
    code, message = await status(stub.Select(SELECT, metadata=bearer(OTHERS)))
    denied, shown = (code.value[0], message, 0), (0, "", 1)
    assert [(one.error.code, one.error.message, len(one.response.choices)) for one in results] == [
        shown,
        denied,
        denied,
        shown,
        denied,
        shown,
    ]


async def test_a_reward_names_its_token_where_it_names_no_source(
    server: Server, stub: "SelectionServiceAsyncStub"
) -> None:
    await stub.Reward(REWARD, metadata=bearer(ALL))
    named = pb.RewardRequest(decision_id=DECISION_ID, value=1.0, source="pipeline")
    await stub.RewardBatch(pb.RewardBatchRequest(requests=[REWARD, named]), metadata=bearer(MINE))
    assert [reward.source for reward in server.sink.stored.rewards] == ["all", "mine", "pipeline"]


async def test_a_token_expires(server: Server, stub: "SelectionServiceAsyncStub") -> None:
    assert (await stub.Select(SELECT, metadata=bearer(SHORT))).decision_id
    server.clock.now_ms = ENDS_MS
    code, _ = await status(stub.Select(SELECT, metadata=bearer(SHORT)))
    assert code is grpc.StatusCode.UNAUTHENTICATED


async def test_where_none_is_required_a_wrong_one_is_refused_all_the_same(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        async with Client(server.address, timeout_s=30) as nobody:
            assert await nobody.reward(DECISION_ID, 1.0) == "ACCEPTED"
        async with Client(server.address, token=ALL, timeout_s=30) as unknown:
            with pytest.raises(Unavailable, match="not loaded the tokens"):
                await unknown.select("exp_7", "user")
            await server.caller_board.post([Caller(digest(OTHERS), "others", (8,), None)])
            await server.callers.refresh()
            with pytest.raises(Unauthenticated):
                await unknown.select("exp_7", "user")
        async with Client(server.address, token=OTHERS, timeout_s=30) as others:
            with pytest.raises(Forbidden):
                await others.select("exp_7", "user")
    (reward,) = server.sink.stored.rewards
    assert reward.source == ""


class Away(MemoryCallers):
    """A board that is away, or damaged."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None

    async def read(self, have: bytes) -> Posted | None:
        if self.error is not None:
            raise self.error
        return await super().read(have)


@pytest.mark.parametrize("error", [Unavailable("Redis is away"), ValueError("damaged")])
async def test_known_tokens_outlive_the_board(error: Exception) -> None:
    board = Away()
    callers = Callers(board, FixedClock(), required=True)
    board.error = error
    await callers.refresh()
    assert not callers.loaded.is_set()
    board.error = None
    await board.post([Caller(digest(ALL), "all", None, None)])
    await callers.refresh()
    assert callers.loaded.is_set()
    board.error = error
    await callers.refresh()
    assert callers.of(bearer(ALL)).name == "all"


async def test_a_token_is_taken_and_its_revocation_obeyed_within_a_second(
    database_url: str, redis_url: str
) -> None:
    async with Database(database_url) as database, connect(redis_url) as redis:
        tokens, callers = PostgresTokens(database), Callers(RedisCallers(redis), lambda: START_MS)
        publisher = CallerPublisher(tokens, RedisCallers(redis), lambda: START_MS)
        at_work = [asyncio.create_task(publisher.run()), asyncio.create_task(callers.run())]
        principal = Principal(token_id="tok_1", name="one", role=Role.CALLER)
        token = Token(principal=principal, created_at=at(START_MS), created_by="test")

        async def until(name: str | None) -> None:
            async with asyncio.timeout(60):
                while shown(callers) != name:
                    await asyncio.sleep(0.01)

        await tokens.create(token, digest(ALL), AUTHOR)
        await until("one")
        await redis.flushdb()
        await tokens.revoke("tok_1", AUTHOR, START_MS)
        await until(None)
        assert not any(task.done() for task in at_work)
        for task in at_work:
            task.cancel()
        await asyncio.gather(*at_work, return_exceptions=True)


def shown(callers: Callers) -> str | None:
    """The name that the token is taken for."""
    try:
        return callers.of(bearer(ALL)).name
    except (Unauthenticated, Unavailable):
        return None
