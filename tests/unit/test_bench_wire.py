"""The benchmarks' own gRPC client and its generator, against real servers of grpcio."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import pytest
from google.protobuf.message import Message

from benchmarks import traffic, wire
from benchmarks.echo import EchoServers, free_address
from benchmarks.generator import Generator, Load, Outcome
from benchmarks.traffic import Traffic
from pullarm.domain.errors import Unavailable
from pullarm.v1 import selection_pb2 as pb

ANSWER = pb.SelectResponse(
    decision_id="decision",
    policy="thompson",
    choices=[pb.Choice(arm_id="arm-00001", slot=1, propensity=0.5)],
    reason=pb.REASON_ASSIGNED,
)
Handle = Callable[[pb.SelectRequest], bytes | Awaitable[bytes]]
"""Answers in bytes, so that a test may answer anything; raises LookupError for NOT_FOUND."""


@asynccontextmanager
async def serving(handle: Handle) -> AsyncIterator[str]:
    """A server whose calls all go through `handle`, on the test's own event loop: a stall stalls everybody."""

    async def answer(
        request: pb.SelectRequest, context: "grpc.aio.ServicerContext[Message, Message]"
    ) -> bytes:
        try:
            answered = handle(request)
            return answered if isinstance(answered, bytes) else await answered
        except LookupError as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
            raise

    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=pb.SelectRequest.FromString, response_serializer=bytes
    )
    names = [path.rpartition("/")[2] for path in (traffic.SELECT, traffic.REWARD)]
    handlers = grpc.method_handlers_generic_handler(traffic.SERVICE, dict.fromkeys(names, method))
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def asked(address: str, *requests: tuple[str, bytes]) -> list[bytes]:
    """The answers to calls on one connection, one after the other."""

    def ask() -> list[bytes]:
        connection = wire.connect(address)
        try:
            return [wire.ask(connection, path, request) for path, request in requests]
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


async def test_answers_are_those_of_the_call_that_asked() -> None:
    """Headers change their places in the server's table whenever a path is new."""

    def handle(request: pb.SelectRequest) -> bytes:
        return request.user_id.encode()

    calls = [
        (path, pb.SelectRequest(user_id=f"user {number}").SerializeToString())
        for number, path in enumerate([traffic.SELECT, traffic.REWARD, traffic.SELECT] * 4)
    ]
    async with serving(handle) as address:
        assert await asked(address, *calls) == [f"user {n}".encode() for n in range(12)]


@pytest.mark.parametrize("size", [0, 1, 16_378, 16_379, 65_531, 300_000, 3_000_000])
async def test_messages_of_any_size_arrive_whole(size: int) -> None:
    """Frames hold 16,384 bytes and the first windows 65,535: what is longer waits for the server to take it."""
    request = pb.SelectRequest(request_id="x" * size)

    async with serving(lambda asked: asked.request_id.encode()) as address:
        answers = await asked(address, *[(traffic.SELECT, request.SerializeToString())] * 2)
    assert answers == [b"x" * size] * 2


async def test_a_refused_call_tells_its_status() -> None:
    def handle(request: pb.SelectRequest) -> bytes:
        raise LookupError("no such experiment")

    async with serving(handle) as address:
        with pytest.raises(Unavailable, match="NOT_FOUND"):
            await asked(address, (traffic.SELECT, b""))


async def test_a_server_that_is_away_is_named() -> None:
    with free_address("127.0.0.1:0") as address, pytest.raises(Unavailable, match=address):
        await asked(address, (traffic.SELECT, b""))


def load(
    address: str, mode: str = "select", *, rate: float = 0.0, reward_rate: float = 0.0
) -> Load:
    host, _, port = address.rpartition(":")
    return Load(
        host=host,
        port=int(port),
        traffic=Traffic(mode=mode, experiments=("a",), arms=20, candidates=5),
        rate=rate,
        reward_rate=reward_rate,
        in_flight=4,
        connections=2,
        warm_up_s=0.2,
        duration_s=1.0,
    )


async def generated(asked: Load) -> Outcome:
    def generate() -> Outcome:
        return Generator(asked).run(time.perf_counter())

    return await asyncio.to_thread(generate)


async def test_a_stall_is_charged_to_everybody_who_had_to_wait() -> None:
    """One request stalls the server for half of the measured second; a closed loop would note a single slow call."""
    calls = 0

    def handle(request: pb.SelectRequest) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 60:
            time.sleep(0.5)
        return ANSWER.SerializeToString()

    async with serving(handle) as address:
        outcome = await generated(load(address, rate=100.0))
    latency = outcome.latency["Select"]
    assert outcome.statuses["Select"].keys() == {"OK"}
    # Half of the calls were due during the stall; those due at its beginning waited all of it.
    assert (latency.percentile_ms(99) or 0.0) > 350.0
    assert (latency.percentile_ms(75) or 0.0) > 50.0


async def test_every_call_that_was_due_is_accounted_for() -> None:
    calls = 0

    def handle(request: pb.SelectRequest) -> bytes:
        nonlocal calls
        calls += 1
        if calls % 5 == 0:
            raise LookupError("every fifth")
        return ANSWER.SerializeToString()

    asked = load(address="127.0.0.1:1", rate=200.0)
    async with serving(handle) as address:
        outcome = await generated(load(address, rate=200.0))
    due = Generator.schedule(asked)
    counted = int((due.due_s >= asked.warm_up_s).sum())
    statuses = outcome.statuses["Select"]
    assert statuses.keys() == {"OK", "NOT_FOUND"}
    assert statuses.total() == outcome.latency["Select"].count == counted
    assert statuses["NOT_FOUND"] == pytest.approx(counted / 5, abs=1)
    assert outcome.reasons == {"ASSIGNED": statuses["OK"]}
    assert outcome.lag.count == counted


async def test_rewards_name_decisions_that_were_answered() -> None:
    rewarded: list[bytes] = []

    def handle(request: pb.SelectRequest) -> bytes:
        if request.experiment_id == "decision":  # the same field number as a reward's decision_id
            rewarded.append(request.SerializeToString())
            return b""
        return ANSWER.SerializeToString()

    async with serving(handle) as address:
        outcome = await generated(load(address, "mix", rate=100.0, reward_rate=50.0))
    assert outcome.statuses.keys() == {"Select", "Reward"}
    assert all(each.keys() == {"OK"} for each in outcome.statuses.values())
    reports = [pb.RewardRequest.FromString(each) for each in rewarded]
    assert {each.arm_id for each in reports} == {"arm-00001"}
    assert {each.value for each in reports} == {0.0, 1.0}


async def test_a_closed_loop_keeps_its_calls_in_flight() -> None:
    async with serving(lambda _: ANSWER.SerializeToString()) as address:
        for _ in range(8):  # a busy machine may answer next to nothing in a second
            outcome = await generated(load(address))
            if sum(each["OK"] for each in outcome.statuses.values()) > 4:
                break
    assert outcome.busy_s == 1.0
    assert outcome.statuses["Select"]["OK"] == outcome.latency["Select"].count > 4
    assert outcome.lag.count == 0


async def test_a_server_that_goes_away_costs_calls_and_no_more() -> None:
    calls, enough = 0, asyncio.Event()

    async def handle(request: pb.SelectRequest) -> bytes:
        nonlocal calls
        calls += 1
        if (
            calls >= 60
        ):  # half of them, beyond the warm-up: those after it are under way when it goes
            enough.set()
            await asyncio.Event().wait()
        return ANSWER.SerializeToString()

    async with serving(handle) as address:
        generating = asyncio.create_task(generated(load(address, rate=100.0)))
        async with asyncio.timeout(60):
            await enough.wait()
    outcome = await generating
    assert outcome.statuses["Select"].keys() == {"OK", "UNAVAILABLE"}


async def test_echo_servers_share_one_port_and_answer_what_they_were_told() -> None:
    answers = {traffic.SELECT: ANSWER.SerializeToString(), traffic.REWARD: b"\x08\x01"}
    async with EchoServers(2, "127.0.0.1:0", answers) as echo:
        assert len(set(echo.pids)) == 2
        calls = [(path, b"") for path in answers]
        assert await asked(echo.address, *calls) == list(answers.values())
