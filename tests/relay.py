"""A server between another one and its clients that a test can take away."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

Connect = Callable[[], Awaitable[tuple[StreamReader, StreamWriter]]]


class Gate:
    """Passes bytes on from a port of this machine, as long as it is open."""

    def __init__(self, port: int, connect: Connect) -> None:
        self._server: asyncio.Server | None = None
        self._port = port
        self._connect = connect
        self._writers: set[StreamWriter] = set()

    async def let_in(self) -> None:
        """Accept connections."""
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", self._port)

    async def close(self) -> None:
        """Refuse new connections and drop those there are."""
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _pass_on(self, reader: StreamReader, writer: StreamWriter) -> None:
        to_reader, to_writer = await self._connect()
        mine = {writer, to_writer}
        self._writers |= mine
        await asyncio.gather(_copy(reader, to_writer), _copy(to_reader, writer))
        self._writers -= mine


class Relay(Gate):
    """To the PostgreSQL of a URL."""

    def __init__(self, url: str, port: int) -> None:
        self._url = urlsplit(url)
        query = parse_qs(self._url.query)
        path = f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"
        super().__init__(port, lambda: asyncio.open_unix_connection(path))

    async def open(self) -> str:
        """Accept connections; answers the URL to use."""
        await self.let_in()
        account = self._url.netloc.rpartition("@")[0]
        return f"postgresql://{account}@127.0.0.1:{self._port}{self._url.path}"


async def _copy(source: StreamReader, target: StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()
