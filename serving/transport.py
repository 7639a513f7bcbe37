"""How calls come in and answers go out: gRPC's completion queue, worked off by the event loop.

gRPC's own asyncio server wakes the loop through a socket for each of a call's five events and takes calls up one at a
time over several turns. Beneath it is a queue of events in C, on which `grpc.Server` is written too. Here one thread
waits at that queue and calls the loop, which takes whatever has come and for as long as calls come looks again itself:
a third of the processor time for a call that does nothing (docs/decisions/0043 and 0049 have the figures, and what it
costs to use what grpcio does not document).

Handlers are grpc's (`grpc.unary_unary_rpc_method_handler` and so on) with asynchronous functions, or generators where
they answer with a stream; they are given a `Context`.
"""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from importlib import import_module
from typing import Any, Final, TypeAlias, cast

import grpc

cygrpc: Any = import_module("grpc._cython.cygrpc")  # it has no types

_log = logging.getLogger(__name__)

Handlers: TypeAlias = "Mapping[str, grpc.RpcMethodHandler[Any, Any]]"
"""By path: /package.Service/Method."""
Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]
Event: TypeAlias = Any
Operation: TypeAlias = Any

MAX_MESSAGE_BYTES = 40 * 1024 * 1024  # the largest batch that the contract's limits allow
_MAX_PENDING = 50_000
OPTIONS: Final = (
    ("grpc.so_reuseport", 1),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # Calls that arrive while the process is held up wait for it; by default those beyond 1,000 are cancelled.
    ("grpc.server.max_pending_requests", _MAX_PENDING),
    ("grpc.server.max_pending_requests_hard_limit", _MAX_PENDING),
)
"""Of gRPC's C core; the benchmarks compare with grpcio's asyncio server under the same."""
_ACCEPTED_AT_ONCE: Final = 64
_EVENTS_A_TURN: Final = 64
"""After so many the loop does what else it has to do."""
_LOOKS_IN_VAIN: Final = 4
"""After so many in a row the thread waits at the queue again."""
_NO_FLAGS: Final = 0
_END: Final = cygrpc.CompletionType.queue_shutdown


class Context:
    """One call, as its handler sees it: the part of `grpc.aio.ServicerContext` that handlers here use."""

    __slots__ = (
        *("_call", "_code", "_deadline_s", "_details", "_ended"),
        *("_greeted", "_handler", "_loop", "_metadata", "_task", "_trailing"),
    )

    def __init__(
        self,
        event: Event,
        handler: "grpc.RpcMethodHandler[Any, Any]",
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Takes up a call that has come."""
        self._loop = loop
        self._call = event.call
        self._deadline_s: float = event.call_details.deadline
        self._metadata: Metadata = event.invocation_metadata
        self._handler = handler
        self._code, self._details = grpc.StatusCode.OK, ""
        self._trailing: Metadata = ()
        self._greeted = self._ended = False
        self._task: asyncio.Task[None] | None = None
        # While this is pending gRPC keeps the call, and through it the task.
        self._call.start_server_batch(
            (cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS),), self._closed
        )
        if handler.request_streaming:
            self._run(self._requests())
        else:
            self._call.start_server_batch(
                (cygrpc.ReceiveMessageOperation(_NO_FLAGS),), self._received
            )

    def time_remaining(self) -> float:
        """Seconds until the deadline, negative past it; centuries without one."""
        return self._deadline_s - time.time()

    def invocation_metadata(self) -> Metadata:
        """What the caller sent beside the request."""
        return self._metadata

    def set_trailing_metadata(self, metadata: Metadata) -> None:
        """What the caller is told beside the answer."""
        self._trailing = metadata

    def code(self) -> grpc.StatusCode:
        """The status so far."""
        return self._code

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()
    ) -> None:
        """End the call with this status: raises grpc.aio.AbortError, which the handler lets pass."""
        self._code, self._details, self._trailing = code, details, trailing_metadata
        raise grpc.aio.AbortError(details)

    async def write(self, response: object) -> None:
        """Send one response of a stream."""
        await self._batch(*self._greeting(), self._message(response))

    def _received(self, event: Event) -> None:
        data = event.batch_operations[0].message()
        if self._ended:
            return
        if data is None:
            self._code, self._details = grpc.StatusCode.INVALID_ARGUMENT, "there is no request"
            self._end()
        else:
            self._run(data)

    def _run(self, request: "bytes | AsyncIterator[object]") -> None:
        self._task = self._loop.create_task(self._answer(request))

    def _closed(self, _: Event) -> None:
        """The call is over: all is sent, or the caller gave up, its deadline has passed or the server stops."""
        if not self._ended:
            self._ended = True
            if self._task is not None:
                self._task.cancel()

    async def _answer(self, sent: "bytes | AsyncIterator[object]") -> None:
        last: tuple[Operation, ...] = ()
        try:
            request = await self._read(sent) if isinstance(sent, bytes) else sent
            outcome = self._method(request, self)
            if not self._handler.response_streaming:
                last = (self._message(await outcome),)
            elif isinstance(outcome, AsyncIterator):
                async for response in outcome:
                    await self.write(response)
            else:
                await outcome
        except grpc.aio.AbortError:
            pass  # the status says why
        except asyncio.CancelledError:
            self._code = grpc.StatusCode.CANCELLED  # told where it was not the caller who gave up
        except Exception as error:
            _log.exception("a call failed")
            self._code = grpc.StatusCode.UNKNOWN
            self._details = f"{type(error).__name__}: {error}"
        self._end(*last)

    @property
    def _method(self) -> Callable[..., Any]:
        handler = self._handler
        found = handler.unary_unary or handler.unary_stream or handler.stream_stream
        assert found is not None  # nothing here answers a stream with one message
        return found

    async def _read(self, data: bytes) -> object:
        read = self._handler.request_deserializer
        if read is None:
            return data
        try:
            return read(data)
        except Exception as error:  # whatever a parser raises
            refusal = f"the request cannot be read: {error}"
            await self.abort(grpc.StatusCode.INVALID_ARGUMENT, refusal)
            raise

    async def _requests(self) -> AsyncIterator[object]:
        while True:
            event = await self._batch(cygrpc.ReceiveMessageOperation(_NO_FLAGS))
            data = event.batch_operations[0].message()
            if data is None:
                return
            yield await self._read(data)

    def _message(self, response: object) -> Operation:
        write = self._handler.response_serializer
        return cygrpc.SendMessageOperation(
            response if write is None else write(response), _NO_FLAGS
        )

    def _greeting(self) -> tuple[Operation, ...]:
        if self._greeted:
            return ()
        self._greeted = True
        return (cygrpc.SendInitialMetadataOperation((), _NO_FLAGS),)

    def _end(self, *last: Operation) -> None:
        if not self._ended:
            self._ended = True
            status = cygrpc.SendStatusFromServerOperation(
                self._trailing, self._code.value[0], self._details.encode(), _NO_FLAGS
            )
            self._call.start_server_batch((*self._greeting(), *last, status), _nothing)

    async def _batch(self, *operations: Operation) -> Event:
        done: asyncio.Future[Event] = self._loop.create_future()

        def set_done(event: Event) -> None:
            if not done.done():
                done.set_result(event)

        self._call.start_server_batch(operations, set_done)
        return await done


def _nothing(_: Event) -> None:
    """What is left to do once an answer is sent."""


class Server:
    """Answers calls on one or more ports from the event loop that it is made on."""

    def __init__(self, handlers: Handlers, *, linger_s: float = 0.0) -> None:
        """While calls come the queue is looked at so often: they are taken up, logged and answered together then.

        One that comes after a while of silence is taken up at once. The loop's timers count milliseconds.
        """
        self._linger_s = linger_s
        self._handlers = {path.encode(): handler for path, handler in handlers.items()}
        self._queue = cygrpc.CompletionQueue()
        self._core = cygrpc.Server(OPTIONS, False)
        self._core.register_completion_queue(self._queue)
        self._loop = asyncio.get_running_loop()
        self._left = threading.Semaphore(0)
        """Given by the loop when it leaves the queue to the thread again."""
        self._in_vain = 0
        """How many of the loop's latest looks at the queue found nothing."""
        self._thread: threading.Thread | None = None
        self._offers = 0
        """How many calls the queue may hand over before it is asked for more."""
        self._open = self._shut = False
        self._stopped = asyncio.Event()

    def add_port(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """Listen on HOST:PORT; answers the port. Raises RuntimeError where it cannot be had."""
        core = None if credentials is None else cast("Any", credentials)._credentials
        port: int = self._core.add_http2_port(address.encode(), core)
        if not port:
            raise RuntimeError(f"nobody can listen on {address}")
        return port

    async def start(self) -> None:
        """Take calls."""
        self._core.start()
        self._thread = threading.Thread(target=self._wait, name="calls", daemon=True)
        self._thread.start()
        self._open = True
        for _ in range(_ACCEPTED_AT_ONCE):
            self._offer()

    async def stop(self, grace_s: float) -> None:
        """Take no more calls; those in hand have this long to end, and are cut off then."""
        if self._thread is None:
            return
        self._open = False
        self._core.shutdown(self._queue, self._on_shut)
        try:
            async with asyncio.timeout(grace_s):
                await self._stopped.wait()
        except TimeoutError:
            self._core.cancel_all_calls()
            await self._stopped.wait()
        self._core.destroy()
        self._queue.shutdown()
        await asyncio.to_thread(self._thread.join)
        self._thread = None

    def _wait(self) -> None:
        """In a thread: wait for an event, and leave the queue to the loop until none have come for a while."""
        while (event := self._queue.poll()).completion_type != _END:
            if event.tag is not _nothing:
                self._loop.call_soon_threadsafe(self._work_off, event)
                self._left.acquire()

    def _look(self) -> None:
        event = self._queue.poll(0)
        if event.tag is not None:
            self._in_vain = 0
            self._work_off(event)
        elif self._in_vain < _LOOKS_IN_VAIN:  # at its end it says so to the thread as well
            self._in_vain += 1
            self._loop.call_later(self._linger_s, self._look)
        else:
            self._in_vain = 0
            self._left.release()

    def _work_off(self, event: Event) -> None:
        for _ in range(_EVENTS_A_TURN):
            try:
                event.tag(event)
            except Exception:  # it concerns this event and no other
                _log.exception("an event of a call failed")
            event = self._queue.poll(0)
            if event.tag is None:  # there is none, or the queue is at its end
                self._loop.call_later(self._linger_s, self._look)
                return
        self._loop.call_soon(self._work_off, event)

    def _offer(self) -> None:
        self._core.request_call(self._queue, self._queue, self._on_call)
        self._offers += 1

    def _on_call(self, event: Event) -> None:
        self._offers -= 1
        if self._open:
            self._offer()
        if event.success:
            Context(event, self._handlers.get(event.call_details.method, _UNKNOWN), self._loop)
        self._end()

    def _on_shut(self, _: Event) -> None:
        self._shut = True
        self._end()

    def _end(self) -> None:
        if self._shut and not self._offers:
            self._stopped.set()


async def _refuse(_: bytes, context: Context) -> bytes:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "there is no such method")
    raise AssertionError("abort always raises")


_UNKNOWN: "grpc.RpcMethodHandler[bytes, bytes]" = grpc.unary_unary_rpc_method_handler(_refuse)
