"""The client gives an upstream our own types and errors."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from control.recommendations import Serving as Upstream
from pullarm.client import Choice, Client, Selection
from pullarm.domain.errors import InvalidInput, NotFound, Unavailable
from pullarm.tls import Trust
from pullarm.v1 import selection_pb2 as pb
from tests.ledger_events import START_MS
from tests.serving_parts import DECISION_ID, Server, serving
from tests.tls import CA, files

NOW = datetime.fromtimestamp(START_MS / 1000, UTC)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as server:
        yield server


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with Client(server.address, timeout_s=30) as client:
        yield client


async def test_over_tls_with_a_certificate_that_is_trusted(tmp_path: Path) -> None:
    async with serving(tmp_path, tls=files(tmp_path)) as server:
        for name in ("", "localhost"):
            believed = Trust(server_ca=CA, name=name)
            async with Client(server.address, trust=believed, timeout_s=30) as client:
                assert (await client.select("exp_7", "user", ["two"])).arm_id == "two"
        for trust in (None, Trust(), Trust(server_ca=CA, name="pullarm.example")):
            async with Client(server.address, trust=trust, timeout_s=30) as client:
                with pytest.raises(Unavailable):
                    await client.select("exp_7", "user", ["two"])


async def test_the_example_upstream_asks_over_tls_where_it_is_told_whom_to_trust(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, tls=files(tmp_path)) as server:
        async with Upstream(server.address, trust=Trust(server_ca=CA)) as upstream:
            assert (await in_the_end(upstream)).reason == "ASSIGNED"
        async with Upstream(server.address) as upstream:
            with pytest.raises(Unavailable):
                await upstream.select("exp_7", "user", slots=1)


async def in_the_end(upstream: Upstream) -> Selection:
    """Its answer: a busy machine may need longer than the second that it gives a call."""
    async with asyncio.timeout(60):
        while True:
            with suppress(Unavailable):
                return await upstream.select("exp_7", "user", slots=1)


async def test_selection_says_what_was_decided(server: Server, client: Client) -> None:
    selection = await client.select(
        "key-7",
        "user",
        ["three", "one", "two"],
        slots=2,
        attributes={"country": "de"},
        request_id="r",
    )
    assert selection.arm_id == "three"
    assert selection.choices == (
        Choice(arm_id="three", slot=1, propensity=1.0),
        Choice(arm_id="one", slot=2, propensity=1.0),
    )
    assert (selection.policy, selection.reason, selection.posterior_version) == (
        *("control", "ASSIGNED"),
        5,
    )
    (decision,) = server.sink.stored.decisions
    assert (decision.attributes, decision.request_id) == ({"country": "de"}, "r")


async def test_reward_is_answered_with_its_status(server: Server, client: Client) -> None:
    selection = await client.select("exp_7", "user", ["three", "one"], slots=2)
    at = NOW + timedelta(milliseconds=750)
    told = await client.reward(
        selection.decision_id, 0.5, arm="one", reward_id="r", occurred_at=at, source="shop"
    )
    late = await client.reward(DECISION_ID, 1.0, occurred_at=NOW + timedelta(seconds=60))
    assert (told, late) == ("ACCEPTED", "ACCEPTED")
    first, _ = server.sink.stored.rewards
    assert (first.slot, first.value, first.occurred_ms) == (2, 0.5, START_MS + 750)
    assert (first.reward_id, first.source, first.retract) == ("r", "shop", False)


async def test_retraction_names_its_reward(server: Server, client: Client) -> None:
    assert await client.retract(DECISION_ID, "r", source="shop") == "ACCEPTED"
    (reward,) = server.sink.stored.rewards
    assert (reward.reward_id, reward.source, reward.retract) == ("r", "shop", True)


async def test_a_time_without_its_zone_is_refused(server: Server, client: Client) -> None:
    with pytest.raises(InvalidInput, match="has no time zone") as caught:
        await client.reward(DECISION_ID, 1.0, occurred_at=NOW.replace(tzinfo=None))
    assert [problem.field for problem in caught.value.problems] == ["occurred_at"]
    assert server.sink.stored.rewards == []


async def test_bad_input_names_its_field(client: Client) -> None:
    with pytest.raises(InvalidInput, match="is 101; give 1 to 100") as caught:
        await client.select("exp_7", "user", slots=101)
    assert [problem.field for problem in caught.value.problems] == ["slots"]


async def test_unknown_experiment_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound, match="there is no experiment 'nothing'"):
        await client.select("nothing", "user")


async def test_deadline_is_unavailable(server: Server) -> None:
    server.sink.open.clear()
    async with Client(server.address, timeout_s=0.1) as client:
        with pytest.raises(Unavailable, match="DEADLINE_EXCEEDED"):
            await client.select("exp_7", "user")


async def test_server_that_is_not_there_is_unavailable() -> None:
    async with Client("127.0.0.1:1", timeout_s=2) as client:
        with pytest.raises(Unavailable):
            await client.select("exp_7", "user")


async def test_calls_that_a_stopping_server_cancels_are_made_again() -> None:
    """As it does with those that reach it just then, which it has not looked at."""
    asked = []

    async def select(request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        asked.append(request)
        if len(asked) < 3:
            await context.abort(grpc.StatusCode.CANCELLED, "")
        return pb.SelectResponse(policy="control").SerializeToString()

    server = grpc.aio.server()
    handler = grpc.method_handlers_generic_handler(
        "pullarm.v1.SelectionService", {"Select": grpc.unary_unary_rpc_method_handler(select)}
    )
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with Client(f"127.0.0.1:{port}", timeout_s=30) as client:
            assert (await client.select("exp_7", "user", ["two"])).policy == "control"
        assert len(asked) == 3
        assert len(set(asked)) == 1
    finally:
        await server.stop(None)
