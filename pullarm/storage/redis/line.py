"""One connection for what serving sends all the time: commands out, answers back in order, and nothing in between.

The driver connects, authenticates and speaks TLS; then its streams are left aside, which saves half of the processor
time of an entry, and two thirds of that of a look at the board.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import ConnectionError, ResponseError

from pullarm.domain.errors import Unavailable
from pullarm.storage.redis.cluster import Client, doubt, home
from pullarm.storage.redis.connection import driver_errors

Answer = int | bytes | list["Answer"] | ResponseError | None


packed = cast("Callable[[tuple[str | bytes, ...]], bytes]", hiredis.pack_command)
"""A command as it is sent, of its words."""

_ELSEWHERE = ("MOVED", "ASK ", "CLUSTERDOWN", "TRYAGAIN")
_MULTI, _EXEC = packed(("MULTI",)), packed(("EXEC",))


class LineKeeper:
    """A line of one's own, opened when it is first needed, and again when it was lost.

    It is one of the client's connections: whoever closes the client closes it.
    """

    def __init__(self, redis: Redis) -> None:
        self.line: Line | None = None
        """May be lost; `open` returns one that is not."""
        self._pool = redis.connection_pool
        self._opening = asyncio.Lock()

    async def open(self) -> "Line":
        """A line that can be sent on; raises Unavailable."""
        async with self._opening:
            if self.line is not None and self.line.lost:
                await self._close()
            if self.line is None:
                self.line = await Line.open(self._pool)
            return self.line

    async def ask(self, *commands: bytes) -> list[Answer]:
        """Send packed commands, at least one, in one write; their answers in order, errors among them as values.

        Raises Unavailable when the server is away, or silent for longer than the client's time-out.
        """
        line = self.line
        if line is None or line.lost:
            line = await self.open()
        answers: list[Answer] = await line.send(b"".join(commands), len(commands))
        return answers

    async def ask_at_once(self, *commands: bytes) -> list[Answer]:
        """The same with nothing of others in between, so that the answers fit together.

        Raises also what the server says when it takes none of the commands: Unavailable, or ResponseError.
        """
        *queued, answers = await self.ask(_MULTI, *commands, _EXEC)
        if isinstance(answers, list):
            return answers
        with driver_errors():  # EXEC itself only says that there was an error before
            raise next(one for one in (*queued, answers) if isinstance(one, ResponseError))

    async def aclose(self) -> None:
        """Close the connection."""
        async with self._opening:
            await self._close()

    async def _close(self) -> None:
        if self.line is not None:
            await self.line.close()
            self.line = None


class Lines:
    """A line to each server whose keys are asked for."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._keepers: dict[Redis, LineKeeper] = {}

    async def to(self, key: str) -> LineKeeper:
        """That to the server that has a key; raises Unavailable."""
        server = await home(self._client, key)
        if server not in self._keepers:
            self._keepers[server] = LineKeeper(server)
        return self._keepers[server]

    async def ask(self, key: str, *commands: bytes) -> list[Answer]:
        """As a keeper's `ask`, of keys that are where this one is."""
        with self.doubting():
            return _here(await (await self.to(key)).ask(*commands))

    async def ask_at_once(self, key: str, *commands: bytes) -> list[Answer]:
        """As a keeper's `ask_at_once`, of keys that are where this one is."""
        with self.doubting():
            return _here(await (await self.to(key)).ask_at_once(*commands))

    @contextmanager
    def doubting(self) -> Iterator[None]:
        """Where a server was away, another may have its keys the next time."""
        try:
            yield
        except Unavailable:
            doubt(self._client)
            raise

    async def aclose(self) -> None:
        """Close the connections."""
        for keeper in self._keepers.values():
            await keeper.aclose()


def _here(answers: list[Answer]) -> list[Answer]:
    """The answers; raises Unavailable where a key is elsewhere, which is no value that a key could have."""
    for answer in answers:
        if isinstance(answer, ResponseError) and str(answer).startswith(_ELSEWHERE):
            raise Unavailable(f"Redis takes no commands: {answer}")
    return answers


class Line(asyncio.Protocol):
    """Made by `open`; whoever sends on a line that is lost is told by what `send` returns."""

    def __init__(self, pool: ConnectionPool, connection: AbstractConnection) -> None:
        assert connection._writer is not None  # it is connected
        assert connection.socket_timeout is not None  # `connect` sets it
        self._pool = pool
        self._connection = connection
        self._transport = connection._writer.transport
        self._streams = self._transport.get_protocol()
        self._reader = hiredis.Reader(replyError=ResponseError)
        self._loop = asyncio.get_running_loop()
        self._pending: deque[tuple[asyncio.Future[Any], float, int]] = deque()
        self._answers: list[Answer] = []
        """Of the first that is pending, while not all have come."""
        self._patience_s = connection.socket_timeout
        self._watch = self._loop.call_later(self._patience_s, self._check)
        self._closed = asyncio.Event()
        self._transport.set_protocol(self)

    @classmethod
    async def open(cls, pool: ConnectionPool) -> "Line":
        """Connect as the client would; raises Unavailable."""
        # Not the pool's `get_connection`, where one that cannot connect holds up all others.
        take: Callable[[], AbstractConnection] = pool.get_available_connection
        with driver_errors():
            connection = take()
            try:
                await pool.ensure_connection(connection)
                if connection._writer is None or connection._writer.is_closing():
                    raise ConnectionError("the server closed the connection")
            except BaseException:
                await pool.release(connection)
                raise
        return cls(pool, connection)

    @property
    def lost(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport.is_closing()

    def send(self, commands: bytes, count: int = 0) -> "asyncio.Future[Any]":
        """Send packed commands; what comes back, or Unavailable that is raised, is had by awaiting.

        Of `count` commands the list of their answers, errors as values; without it the answer of one command, whose
        error is Unavailable.
        """
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._pending.append((answer, self._loop.time(), count))
        if self.lost:
            self._fail(ConnectionError("the connection was lost"))
        else:
            self._transport.write(commands)
        return answer

    async def close(self) -> None:
        """Give up what is not answered, and the connection."""
        self._transport.abort()
        await self._closed.wait()
        await self._connection.disconnect(nowait=True)
        await self._pool.release(self._connection)

    def data_received(self, data: bytes) -> None:
        """Answers come in the order of their commands."""
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            if isinstance(reply, ResponseError) and str(reply).startswith("READONLY"):
                self._transport.abort()  # a primary that was demoted: the next line finds the new one
            answer, _, count = self._pending[0]
            if count:
                self._answers.append(reply)
                if len(self._answers) < count:
                    continue
                reply, self._answers = self._answers, []
            self._pending.popleft()
            if answer.done():  # nobody waits any more
                continue
            if isinstance(reply, ResponseError):
                answer.set_exception(Unavailable(f"Redis refuses: {reply}"))
            else:
                answer.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """What was not answered may have been done or not."""
        self._streams.connection_lost(None)  # which whoever closes the client waits for
        self._closed.set()
        self._watch.cancel()
        self._fail(ConnectionError(str(exc or "the server closed the connection")))

    def _fail(self, error: Exception) -> None:
        while self._pending:
            answer, *_ = self._pending.popleft()
            if not answer.done():
                _set(answer, error)

    def _check(self) -> None:
        now = self._loop.time()
        give_up_at = (self._pending[0][1] if self._pending else now) + self._patience_s
        if give_up_at <= now:
            self._transport.abort()
        else:
            self._watch = self._loop.call_at(give_up_at, self._check)


def _set(answer: "asyncio.Future[Any]", error: Exception) -> None:
    """Fail as the driver's errors are told everywhere."""
    try:
        with driver_errors():
            raise error
    except Exception as told:
        answer.set_exception(told)
