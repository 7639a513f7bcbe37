"""Calls over real sockets, by grpcio's own client, of a server whose handlers do what handlers may do."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import grpc
import pytest

from serving.transport import MAX_MESSAGE_BYTES, Context, Server

GRACE_S = 0.2


class Desk:
    """A server with one handler of each kind, and what they have seen."""

    def __init__(self, linger_s: float) -> None:
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.remaining_s: list[float] = []
        self.taken_up_s: list[float] = []
        unary = grpc.unary_unary_rpc_method_handler
        self.server = Server(
            {
                "/desk/Answer": unary(self._answer),
                "/desk/Wait": unary(self._wait),
                "/desk/Fail": unary(self._fail),
                "/desk/Refuse": unary(self._refuse),
                "/desk/GiveUp": unary(self._give_up),
                "/desk/Number": unary(self._answer_number, int, lambda n: str(n).encode()),
                "/desk/Count": grpc.unary_stream_rpc_method_handler(self._count),
                "/desk/Watch": grpc.unary_stream_rpc_method_handler(self._watch),
                "/desk/Echo": grpc.stream_stream_rpc_method_handler(self._echo),
            },
            linger_s=linger_s,
        )
        self.port = self.server.add_port("127.0.0.1:0")

    async def _answer(self, request: bytes, context: Context) -> bytes:
        self.taken_up_s.append(time.monotonic())
        self.remaining_s.append(context.time_remaining())
        told = tuple(each for each in context.invocation_metadata() if each[0] == "name")
        context.set_trailing_metadata(told)
        await asyncio.sleep(0)
        return b"to " + request

    async def _wait(self, _: bytes, __: Context) -> bytes:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        raise AssertionError("nobody sets it")

    async def _fail(self, request: bytes, _: Context) -> bytes:
        raise LookupError(request.decode())

    async def _refuse(self, _: bytes, context: Context) -> bytes:
        await context.abort(grpc.StatusCode.NOT_FOUND, "nicht dä", (("why", "gone"),))
        raise AssertionError("abort always raises")

    async def _give_up(self, _: bytes, __: Context) -> bytes:
        raise asyncio.CancelledError

    async def _answer_number(self, request: int, _: Context) -> int:
        return request + 1

    async def _count(self, request: bytes, context: Context) -> AsyncIterator[bytes]:
        for number in range(int(request)):
            yield str(number).encode()
        await context.abort(grpc.StatusCode.OUT_OF_RANGE, "no more")

    async def _watch(self, _: bytes, context: Context) -> None:
        await context.write(b"first")
        await context.write(b"second")
        await self._wait(b"", context)

    async def _echo(self, requests: AsyncIterator[bytes], _: Context) -> AsyncIterator[bytes]:
        async for request in requests:
            yield b"to " + request


@pytest.fixture
def linger_s() -> float:
    """What serving has."""
    return 0.001


@pytest.fixture
async def desk(linger_s: float) -> AsyncIterator[Desk]:
    made = Desk(linger_s)
    await made.server.start()
    yield made
    await made.server.stop(GRACE_S)


@pytest.fixture
async def channel(desk: Desk) -> AsyncIterator[Any]:
    options = (("grpc.max_send_message_length", -1),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{desk.port}", options) as made:
        yield made


async def refused(call: Awaitable[object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value.code(), error.value.details() or ""


async def test_each_of_many_calls_has_its_own_answer_and_metadata(
    channel: Any,
) -> None:
    ask = channel.unary_unary("/desk/Answer")
    calls = [ask(str(n).encode(), metadata=(("name", str(n)),)) for n in range(1000)]
    assert await asyncio.gather(*calls) == [f"to {n}".encode() for n in range(1000)]
    told = [dict(await call.trailing_metadata() or ()) for call in calls]
    assert told == [{"name": str(n)} for n in range(1000)]


async def test_the_time_that_a_caller_gives_is_known(desk: Desk, channel: Any) -> None:
    ask = channel.unary_unary("/desk/Answer")
    await ask(b"")
    await ask(b"", timeout=30)
    without, within = desk.remaining_s
    assert without > 1e9
    assert 20 < within <= 30.5


async def test_a_handlers_refusal_is_told_with_its_metadata(channel: Any) -> None:
    call = channel.unary_unary("/desk/Refuse")(b"")
    assert await refused(call) == (grpc.StatusCode.NOT_FOUND, "nicht dä")
    assert tuple(await call.trailing_metadata() or ()) == (("why", "gone"),)


async def test_an_error_ends_its_call_and_is_logged(
    channel: Any, caplog: pytest.LogCaptureFixture
) -> None:
    call = channel.unary_unary("/desk/Fail")(b"key")
    assert await refused(call) == (grpc.StatusCode.UNKNOWN, "LookupError: key")
    assert "a call failed" in caplog.text
    assert await channel.unary_unary("/desk/Answer")(b"you") == b"to you"


async def test_a_handler_that_is_cancelled_from_within_ends_its_call(
    channel: Any,
) -> None:
    code, _ = await refused(channel.unary_unary("/desk/GiveUp")(b""))
    assert code is grpc.StatusCode.CANCELLED


async def test_a_method_that_is_not_there_is_named_as_such(channel: Any) -> None:
    told = await refused(channel.unary_unary("/desk/Other")(b""))
    assert told == (grpc.StatusCode.UNIMPLEMENTED, "there is no such method")


async def test_messages_are_read_and_written_as_the_handler_says(
    channel: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ask = channel.unary_unary("/desk/Number")
    assert await ask(b"41") == b"42"
    code, details = await refused(ask(b"many"))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith("the request cannot be read: invalid literal")
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


async def test_a_call_that_sends_no_request_is_told_so(channel: Any) -> None:
    told = await refused(channel.stream_unary("/desk/Answer")([]))
    assert told == (grpc.StatusCode.INVALID_ARGUMENT, "there is no request")


async def test_too_large_a_request_is_refused(channel: Any) -> None:
    code, _ = await refused(channel.unary_unary("/desk/Answer")(bytes(MAX_MESSAGE_BYTES + 1)))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await channel.unary_unary("/desk/Answer")(b"you") == b"to you"


async def test_a_caller_that_goes_away_cancels_its_call(desk: Desk, channel: Any) -> None:
    call = channel.unary_unary("/desk/Wait")(b"")
    await desk.begun.wait()
    call.cancel()
    async with asyncio.timeout(60):
        await desk.cancelled.wait()


async def test_a_deadline_that_passes_cancels_its_call(desk: Desk, channel: Any) -> None:
    for timeout_s in (0.5, 5, 50):  # a busy machine may not have begun with it within the shorter
        code, _ = await refused(channel.unary_unary("/desk/Wait")(b"", timeout=timeout_s))
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        if desk.begun.is_set():
            break
    async with asyncio.timeout(60):
        await desk.cancelled.wait()


async def test_a_generator_answers_with_a_stream_and_a_status(channel: Any) -> None:
    stream = channel.unary_stream("/desk/Count")(b"3")
    assert [await stream.read() for _ in range(3)] == [b"0", b"1", b"2"]
    assert await refused(stream.read()) == (grpc.StatusCode.OUT_OF_RANGE, "no more")


async def test_a_handler_may_write_as_long_as_somebody_listens(desk: Desk, channel: Any) -> None:
    stream = channel.unary_stream("/desk/Watch")(b"")
    assert [await stream.read(), await stream.read()] == [b"first", b"second"]
    await desk.begun.wait()
    stream.cancel()
    async with asyncio.timeout(60):
        await desk.cancelled.wait()


async def test_a_stream_is_answered_with_a_stream(channel: Any) -> None:
    stream = channel.stream_stream("/desk/Echo")([b"one", b"two"])
    assert [message async for message in stream] == [b"to one", b"to two"]


async def test_stopping_waits_for_calls_in_hand_and_cuts_off_those_that_last(
    desk: Desk, channel: Any
) -> None:
    call = channel.unary_unary("/desk/Wait")(b"")
    await desk.begun.wait()
    await desk.server.stop(GRACE_S)
    assert desk.cancelled.is_set()
    assert (await refused(call))[0] is grpc.StatusCode.UNAVAILABLE
    late = channel.unary_unary("/desk/Answer")(b"", timeout=60)
    assert (await refused(late))[0] is grpc.StatusCode.UNAVAILABLE


async def test_calls_that_reach_a_stopping_server_are_answered_or_told_to_try_again(
    desk: Desk, channel: Any
) -> None:
    ask = channel.unary_unary("/desk/Answer")
    calls = [ask(str(n).encode()) for n in range(500)]
    await calls[0]
    await desk.server.stop(GRACE_S)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    again = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)  # the latter by gRPC itself
    for number, outcome in enumerate(outcomes):
        if isinstance(outcome, grpc.aio.AioRpcError):
            assert outcome.code() in again
        else:
            assert outcome == f"to {number}".encode()


async def test_an_address_that_is_no_address_is_refused() -> None:
    with pytest.raises(RuntimeError, match="nobody can listen on nowhere:1"):
        Server({}).add_port("nowhere:1")


@pytest.mark.parametrize("linger_s", [0.5])
async def test_calls_that_follow_each_other_are_taken_up_together(desk: Desk, channel: Any) -> None:
    answer = channel.unary_unary("/desk/Answer")
    await answer(b"the first", timeout=10)
    calls = []
    for _ in range(5):
        calls.append(asyncio.ensure_future(answer(b"another", timeout=10)))
        await asyncio.sleep(0.01)
    all_sent_s = time.monotonic()
    await asyncio.gather(*calls)
    assert min(desk.taken_up_s[1:]) > all_sent_s


@pytest.mark.parametrize("linger_s", [0.5])
async def test_call_after_a_silence_is_taken_up_at_once(desk: Desk, channel: Any) -> None:
    answer = channel.unary_unary("/desk/Answer")
    await answer(b"the first", timeout=10)
    await asyncio.sleep(
        4.1
    )  # more than it looks for; did it look on, the next look would be 0.4 s away
    sent_s = time.monotonic()
    await answer(b"another", timeout=10)
    assert desk.taken_up_s[1] < sent_s + 0.25
