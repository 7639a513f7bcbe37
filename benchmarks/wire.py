"""The lightest gRPC client that can time unary calls: HTTP/2 on a bare socket, bytes in and bytes out.

It exists because load and server share the machine: a call costs it less than half of what it costs grpc.aio
(docs/benchmarks.md has the figures), so that more of what is measured is the server. No compression or streaming.
Source: RFC 9113 (frames, flow control), RFC 7541 (headers, by hpack) and gRPC's "PROTOCOL-HTTP2".
"""

import select
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable
from functools import lru_cache

import hpack

from pullarm.domain.errors import Unavailable
from pullarm.tls import Trust

OK = "OK"
Done = Callable[[str, bytes], None]
"""Told a call's status by its gRPC name and the response's bytes, empty unless OK."""

_NOT_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_ACK = _END_STREAM = 1
_END_HEADERS = 4
_PADDED, _PRIORITY = 8, 32
_MAX_FRAME = 16_384
_FIRST_WINDOW = 65_535
_OURS = 2**31 - 1
"""What the server may send us unasked; given back to it at half."""
_INITIAL_WINDOW_SETTING = 4
_RESETS = {7: "UNAVAILABLE", 8: "CANCELLED", 11: "RESOURCE_EXHAUSTED"}
_STATUS = dict(
    enumerate(
        (
            *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND"),
            *("ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"),
            *("ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"),
            "UNAUTHENTICATED",
        )
    )
)


class _Sending:
    """A request's bytes that the server's window has not let through yet."""

    __slots__ = ("left", "stream", "window")

    def __init__(self, stream: int, left: memoryview, window: int) -> None:
        self.stream, self.left, self.window = stream, left, window


class Connection:
    """One connection; its owner waits for it, calls `read`, and then `flush`, which sends what has to go."""

    def __init__(
        self, host: str, port: int, timeout_s: float = 5.0, *, trust: Trust | None = None
    ) -> None:
        self._calls: dict[int, Done] = {}
        self._answers: dict[int, bytes] = {}
        self._next_stream = 1
        self._blocks: dict[str, bytes] = {}
        self._told: set[str] = set()
        self._encoder = hpack.Encoder()
        self._authority = f"{host}:{port}"
        self._scheme = "https" if trust else "http"
        self._out = bytearray()
        self._in = bytearray()
        self._window = self._stream_window = _FIRST_WINDOW
        self._owed = 0
        self._held: deque[_Sending] = deque()
        self.broken = False
        """Whether the server has gone: every call fails from then on."""
        try:
            self._socket = socket.create_connection((host, port), timeout_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if trust is not None:
                self._socket = _secured(self._socket, host, trust)
        except OSError as error:
            raise Unavailable(f"{host}:{port} takes no connection: {error}") from error
        self._socket.setblocking(False)
        # No header table for the server: its headers then mean the same wherever they are seen, and are cached.
        settings = struct.pack("!HIHI", 1, 0, _INITIAL_WINDOW_SETTING, _OURS)
        self._out += _PREFACE + _frame(_SETTINGS, 0, 0, settings)
        self._out += _frame(_WINDOW, 0, 0, struct.pack("!I", _OURS - _FIRST_WINDOW))
        self.flush()

    def fileno(self) -> int:
        """For select(2)."""
        return self._socket.fileno()

    @property
    def wants_write(self) -> bool:
        """Whether bytes wait for the socket."""
        return bool(self._out)

    def call(self, path: str, request: bytes, done: Done) -> None:
        """Send one request with the next `flush`; `done` is called from `read`, or from here on a broken connection."""
        if self.broken:
            done("UNAVAILABLE", b"")
            return
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        self._calls[stream] = done
        block = self._block(path)
        body = b"\0" + len(request).to_bytes(4, "big") + request
        size = len(body)
        head = _frame(_HEADERS, _END_HEADERS, stream, block)
        if not self._held and size <= min(_MAX_FRAME, self._window, self._stream_window):
            self._window -= size
            self._out += head + _frame(_DATA, _END_STREAM, stream, body)
        else:
            self._out += head
            self._held.append(_Sending(stream, memoryview(body), self._stream_window))
            self._send_held()

    def flush(self) -> None:
        """Send what the socket takes."""
        if self._out:
            try:
                sent = self._socket.send(self._out)
            except _NOT_YET:
                return
            except OSError:
                self._fail()
                return
            del self._out[:sent]

    def read(self) -> None:
        """Take in what has come and finish the calls it answers."""
        try:
            data = self._socket.recv(
                262_144
            )  # more than a record of TLS, of which none is kept back
        except _NOT_YET:
            return
        except OSError:
            data = b""
        if not data:
            self._fail()
            return
        self._in += data
        at, whole, end = 0, self._in, len(self._in)
        while end - at >= 9:
            stop = at + 9 + int.from_bytes(whole[at : at + 3], "big")
            if stop > end:
                break
            stream = int.from_bytes(whole[at + 5 : at + 9], "big") & 0x7FFFFFFF
            self._take(whole[at + 3], whole[at + 4], stream, bytes(whole[at + 9 : stop]))
            at = stop
        del self._in[:at]

    def abandon(self, status: str) -> None:
        """Finish every call in flight with this status; answers that still come are ignored."""
        for stream in list(self._calls):
            self._finish(stream, status)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _DATA:
            self._data(stream, payload)
        elif kind == _HEADERS:
            if flags & _END_STREAM:
                self._finish(stream, _status(_unpadded(flags, payload)))
        elif kind == _WINDOW:
            self._widen(stream, int.from_bytes(payload, "big"))
        elif kind == _SETTINGS and not flags & _ACK:
            self._configure(payload)
            self._out += _frame(_SETTINGS, _ACK, 0, b"")
        elif kind == _PING and not flags & _ACK:
            self._out += _frame(_PING, _ACK, 0, payload)
        elif kind == _RESET:
            self._finish(stream, _RESETS.get(int.from_bytes(payload, "big"), "INTERNAL"))
        elif kind == _GOAWAY:
            self._fail()

    def _data(self, stream: int, payload: bytes) -> None:
        self._answers[stream] = self._answers.get(stream, b"") + payload
        self._owed += len(payload)
        if self._owed > _OURS // 2:
            self._out += _frame(_WINDOW, 0, 0, struct.pack("!I", self._owed))
            self._owed = 0

    def _finish(self, stream: int, status: str) -> None:
        done = self._calls.pop(stream, None)
        answer = self._answers.pop(stream, b"")
        if done is not None:
            done(status, answer[5:] if status == OK else b"")

    def _fail(self) -> None:
        """Nothing more will come: every call in flight has failed."""
        self.broken = True
        self._out.clear()
        self._held.clear()
        self.abandon("UNAVAILABLE")

    def _configure(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack("!HI", payload):
            if name == _INITIAL_WINDOW_SETTING:
                for each in self._held:
                    each.window += value - self._stream_window
                self._stream_window = value
        self._send_held()

    def _widen(self, stream: int, by: int) -> None:
        if stream == 0:
            self._window += by
        for each in self._held:
            if each.stream == stream:
                each.window += by
        self._send_held()

    def _send_held(self) -> None:
        """Send held requests in their order, as far as the windows reach."""
        while self._held:
            first = self._held[0]
            size = min(len(first.left), first.window, self._window, _MAX_FRAME)
            if size <= 0:
                return
            last = size == len(first.left)
            self._out += _frame(
                _DATA, _END_STREAM if last else 0, first.stream, bytes(first.left[:size])
            )
            first.left = first.left[size:]
            first.window -= size
            self._window -= size
            if last:
                self._held.popleft()

    def _block(self, path: str) -> bytes:
        """The headers of a call; once the server's table holds them, they are references to it, always the same."""
        known = self._blocks.get(path)
        if known is not None:
            return known
        headers = [
            (":method", "POST"),
            (":scheme", self._scheme),
            (":path", path),
            (":authority", self._authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "pullarm-bench"),
            ("grpc-timeout", "10S"),
        ]
        block = bytes(self._encoder.encode(headers))
        if path in self._told:
            self._blocks[path] = block
        else:  # a new entry moves the others' places in the table
            self._told.add(path)
            self._blocks.clear()
        return block


def connect(address: str, trust: Trust | None = None) -> Connection:
    """A connection to host:port, over TLS where told whom to trust; raises Unavailable."""
    host, _, port = address.rpartition(":")
    return Connection(host.strip("[]"), int(port), trust=trust)


def _secured(plain: socket.socket, host: str, trust: Trust) -> ssl.SSLSocket:
    context = trust.context()
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(plain, server_hostname=trust.name or host)


def ask(connection: Connection, path: str, request: bytes, timeout_s: float = 10.0) -> bytes:
    """One call by itself: wait for its answer. Raises Unavailable unless it is OK."""
    answers: list[tuple[str, bytes]] = []
    connection.call(path, request, lambda status, answer: answers.append((status, answer)))
    connection.flush()
    deadline = time.monotonic() + timeout_s
    while not answers and time.monotonic() < deadline:
        writing = [connection] if connection.wants_write else []
        readable, _, _ = select.select([connection], writing, [], timeout_s)
        if readable:
            connection.read()
        connection.flush()
    status, answer = answers[0] if answers else ("DEADLINE_EXCEEDED", b"")
    if status != OK:
        raise Unavailable(f"{path} is answered with {status}")
    return answer


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack("!IBI", len(payload) << 8 | kind, flags, stream) + payload


def _unpadded(flags: int, payload: bytes) -> bytes:
    start, end = 0, len(payload)
    if flags & _PADDED:
        start, end = 1, end - payload[0]
    if flags & _PRIORITY:
        start += 5
    return payload[start:end]


@lru_cache(maxsize=4096)
def _status(block: bytes) -> str:
    """The status that trailers tell."""
    headers = dict(hpack.Decoder().decode(block, raw=True))
    number = int(headers.get(b"grpc-status", b"2"))
    return _STATUS.get(number, str(number))
