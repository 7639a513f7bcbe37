"""The yardstick: grpcio's asyncio server, which parses the same messages and answers one constant.

It has the options of serving's and runs on the loop that our processes run on: what one would write who had nothing to
do for a call. Ours takes its calls another way (serving/transport.py), which is part of what is compared. A process is
`python -m benchmarks.echo` and is told by one line of JSON on standard input what to answer; it ends when that input
does.
"""

import asyncio
import base64
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Self

import grpc
from google.protobuf.message import Message

from benchmarks import traffic
from pullarm import event_loop
from pullarm.domain.errors import PullarmError
from pullarm.free_port import free_port
from pullarm.v1 import selection_pb2 as pb
from serving.transport import OPTIONS

_MESSAGES: dict[str, tuple[type[Message], type[Message]]] = {
    traffic.SELECT: (pb.SelectRequest, pb.SelectResponse),
    traffic.BATCH: (pb.SelectBatchRequest, pb.SelectBatchResponse),
    traffic.REWARD: (pb.RewardRequest, pb.RewardResponse),
}
_READY = b"ready\n"
COMMAND = (sys.executable, "-P", "-m", "benchmarks.echo")
"""Runs one server."""


@contextmanager
def free_address(like: str) -> Iterator[str]:
    """An unused port on the same host, kept as long as the block lasts."""
    host = like.rpartition(":")[0].strip("[]")
    with free_port(host) as port:
        yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class EchoServers:
    """`async with EchoServers(processes, like, answers) as echo:` runs them on one free port of an address's host."""

    def __init__(
        self,
        processes: int,
        like: str,
        answers: Mapping[str, bytes],
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._kept = ExitStack()
        self.address = self._kept.enter_context(free_address(like))
        self._command = command
        self._processes = processes
        encoded = {path: base64.b64encode(answer).decode() for path, answer in answers.items()}
        self._wish = json.dumps({"address": self.address, "answers": encoded}).encode() + b"\n"
        self._running: list[Process] = []

    @property
    def pids(self) -> Sequence[int]:
        """The processes' ids."""
        return [each.pid for each in self._running]

    async def __aenter__(self) -> Self:
        try:
            for _ in range(self._processes):
                self._running.append(await self._start())
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in self._running:
            if each.returncode is None:
                each.kill()
            await each.wait()
        self._kept.close()

    async def _start(self) -> Process:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            start_new_session=True,  # as serving is started
        )
        assert process.stdin is not None  # both are pipes
        assert process.stdout is not None
        process.stdin.write(self._wish)
        if await process.stdout.readline() != _READY:
            process.kill()
            await process.wait()
            raise PullarmError(f"an echo server did not start on {self.address}")
        return process


def server(address: str, answers: Mapping[str, bytes]) -> grpc.aio.Server:
    """An echo server bound to an address, not started: calls by path, each with the answer's bytes."""
    made = grpc.aio.server(options=OPTIONS)
    handlers = {path.rpartition("/")[2]: _handler(path, answer) for path, answer in answers.items()}
    made.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(traffic.SERVICE, handlers),)
    )
    made.add_insecure_port(address)
    return made


def _handler(path: str, answer: bytes) -> "grpc.RpcMethodHandler[Message, Message]":
    request_type, response_type = _MESSAGES[path]
    response = response_type.FromString(answer)

    async def handle(
        _request: Message, _context: "grpc.aio.ServicerContext[Message, Message]"
    ) -> Message:
        return response

    return grpc.unary_unary_rpc_method_handler(
        handle,
        request_deserializer=request_type.FromString,
        response_serializer=response_type.SerializeToString,
    )


async def _main() -> None:
    wish = json.loads(sys.stdin.buffer.readline())
    answers = {path: base64.b64decode(text) for path, text in wish["answers"].items()}
    running = server(wish["address"], answers)
    await running.start()
    sys.stdout.buffer.write(_READY)
    sys.stdout.buffer.flush()
    await asyncio.to_thread(sys.stdin.buffer.read)
    await running.stop(None)


if __name__ == "__main__":
    event_loop.run(_main())
