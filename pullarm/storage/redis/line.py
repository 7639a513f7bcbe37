"""One connection for the event path: commands out, answers back in order, and nothing in between.

The driver connects, authenticates and speaks TLS; then its streams are left aside, which saves half of the processor
time of an entry.
"""

import asyncio
from collections import deque

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, ResponseError

from pullarm.domain.errors import Unavailable
from pullarm.storage.redis.connection import driver_errors

ANSWER_S = 5.0
"""How long the server may be silent before the connection is given up."""

Answer = int | bytes | None


class Line(asyncio.Protocol):
    """Made by `open`; whoever sends on a line that is lost is told by what `send` returns."""

    def __init__(self, connection: AbstractConnection) -> None:
        assert connection._writer is not None
        self._writer = connection._writer  # which would close its transport if it were forgotten
        self._transport = self._writer.transport
        connection._reader = connection._writer = None  # they are ours now
        self._reader = hiredis.Reader(replyError=ResponseError)
        self._loop = asyncio.get_running_loop()
        self._pending: deque[tuple[asyncio.Future[Answer], float]] = deque()
        self._watch = self._loop.call_later(ANSWER_S, self._check)
        self._closed = asyncio.Event()
        self._transport.set_protocol(self)

    @classmethod
    async def open(cls, redis: Redis) -> "Line":
        """Connect as the client would; raises Unavailable."""
        pool = redis.connection_pool
        connection: AbstractConnection = pool.connection_class(**pool.connection_kwargs)
        with driver_errors():
            await connection.send_command("PING")  # which connects
            await connection.read_response()
        return cls(connection)

    @property
    def lost(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport.is_closing()

    def send(self, command: bytes) -> "asyncio.Future[Answer]":
        """Send one packed command; its answer comes, or Unavailable is raised, where it is awaited."""
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._pending.append((answer, self._loop.time()))
        if self.lost:
            self._fail(ConnectionError("the connection was lost"))
        else:
            self._transport.write(command)
        return answer

    async def close(self) -> None:
        """Give up what is not answered, and the connection."""
        self._transport.abort()
        await self._closed.wait()

    def data_received(self, data: bytes) -> None:
        """Answers come in the order of their commands."""
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            answer, _ = self._pending.popleft()
            if answer.done():  # nobody waits any more
                continue
            if isinstance(reply, ResponseError):
                answer.set_exception(Unavailable(f"Redis refuses: {reply}"))
                if str(reply).startswith("READONLY"):
                    self._transport.abort()  # a primary that was demoted: the next line finds the new one
            else:
                answer.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """What was not answered may have been done or not."""
        self._closed.set()
        self._watch.cancel()
        self._fail(ConnectionError(str(exc or "the server closed the connection")))

    def _fail(self, error: Exception) -> None:
        while self._pending:
            answer, _ = self._pending.popleft()
            if not answer.done():
                _set(answer, error)

    def _check(self) -> None:
        if self._pending and self._pending[0][1] < self._loop.time() - ANSWER_S:
            self._transport.abort()
        else:
            self._watch = self._loop.call_later(ANSWER_S, self._check)


def _set(answer: "asyncio.Future[Answer]", error: Exception) -> None:
    """Fail as the driver's errors are told everywhere."""
    try:
        with driver_errors():
            raise error
    except Exception as told:
        answer.set_exception(told)
