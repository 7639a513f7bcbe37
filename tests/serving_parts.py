"""A serving process's parts over a board and a stream in memory, answering gRPC on a free port."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from pullarm.domain.decision_id import encode
from pullarm.otel import Tracer
from pullarm.policies.warm import warm_up
from pullarm.storage.memory import MemoryBoard, MemoryCallers
from pullarm.tls import Tls
from serving import event_log, query, transport
from serving.access import Callers
from serving.counters import Counters
from serving.event_log import EventLog
from serving.refresher import Refresher
from serving.server import bind
from serving.service import SelectionService
from serving.spool import Spool
from tests.builders import KEYS, TOKEN, FixedClock, experiment, publication
from tests.ledger_events import START_MS
from tests.sink import Sink

DECISION_ID = encode(TOKEN, KEYS)


@dataclass
class Server:
    """One serving process's parts, answering on a free port."""

    folder: Path
    sink: Sink = field(default_factory=Sink)
    board: MemoryBoard = field(default_factory=MemoryBoard)
    counters: Counters = field(default_factory=lambda: Counters("serving-1"))
    address: str = ""
    spool_bytes: int = 2**20
    caller_board: MemoryCallers = field(default_factory=MemoryCallers)
    clock: FixedClock = field(default_factory=lambda: FixedClock(START_MS + 1_000))
    require_tokens: bool = False

    def __post_init__(self) -> None:
        self.callers = Callers(self.caller_board, self.clock, required=self.require_tokens)
        self.refresher = Refresher(self.board)
        self.spool = Spool(self.folder, "serving-1", max_bytes=self.spool_bytes)
        self.log = EventLog(self.sink, self.spool, "serving-1")
        self.service = SelectionService(
            self.refresher, self.log, self.counters, KEYS, self.clock, self.callers
        )

    async def load(self) -> None:
        await self.board.publish(publication(experiment(), pub_no=5))
        await self.board.complete("one", [7])
        await self.refresher.refresh()


@asynccontextmanager
async def serving(
    folder: Path,
    *,
    spool_bytes: int = 2**20,
    require_tokens: bool = False,
    tls: Tls | None = None,
    tracer: Tracer | None = None,
) -> AsyncIterator[Server]:
    """A server with experiment 7 on control, its event log at work and its spool in `folder`."""
    warm_up()
    query.warm_up()  # as a process does: else the first request waits for the kernels
    with pytest.MonkeyPatch.context() as patch:
        # However busy the machine is, the stream is not taken for slow, and no event goes to the spool as well.
        patch.setattr(event_log, "BUDGET_S", 10.0)
        patch.setattr(event_log, "WAIT_S", 10.0)
        async with _answering(folder, spool_bytes, require_tokens, tls, tracer) as parts:
            yield parts


@asynccontextmanager
async def _answering(
    folder: Path, spool_bytes: int, require_tokens: bool, tls: Tls | None, tracer: Tracer | None
) -> AsyncIterator[Server]:
    parts = Server(folder, spool_bytes=spool_bytes, require_tokens=require_tokens)
    await parts.load()
    committing = asyncio.create_task(parts.log.run())
    server = transport.Server(parts.service.handlers(tracer))
    parts.address = f"127.0.0.1:{bind(server, '127.0.0.1:0', tls)}"
    await server.start()
    try:
        yield parts
    finally:
        parts.sink.refuses = False
        parts.sink.open.set()
        await server.stop(1)
        parts.log.close()
        async with asyncio.timeout(30):
            await committing
        parts.spool.close()


async def status(call: Awaitable[object]) -> tuple[grpc.StatusCode, str]:
    """What a call that has to fail is told."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code(), refused.value.details() or ""
