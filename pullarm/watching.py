"""What watches a process is answered from: `/metrics`, `/healthz` and `/readyz`, in a thread of their own."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from socket import AF_INET6
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from pullarm.domain.errors import ConfigurationError
from pullarm.environment import host_and_port

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

ADDRESS = "PULLARM_METRICS_ADDRESS"
UNREADY = "unready"
_TIMEOUT_S = 5.0

Ready = Callable[[], Mapping[str, object]]
"""What `/readyz` says; with the status UNREADY it answers 503."""


@contextmanager
def watched(address: str, figures: Collector, ready: Ready) -> Iterator[int]:
    """Answer at HOST:PORT for as long as the block lasts; yields the port, which for port 0 is any free one.

    Both are asked in the thread that answers. Raises ConfigurationError where the address is malformed or cannot be
    listened on.
    """
    host, port = host_and_port(ADDRESS, address)
    family = _ServerV6 if ":" in host else _Server
    try:
        server = family((host, port), _Handler)
    except OSError as error:
        raise ConfigurationError(
            f"{ADDRESS}: cannot listen on {address}: {error.strerror or error}; choose another address, "
            "or stop what is listening there"
        ) from error
    with server:
        server.set_app(_application(figures, ready))
        thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


def gauge(name: str, help_text: str, value: float) -> Metric:
    """One figure that goes up and down."""
    return GaugeMetricFamily(f"pullarm_{name}", help_text, value=value)


def total(name: str, help_text: str, value: int) -> Metric:
    """One count since the process began."""
    return CounterMetricFamily(f"pullarm_{name}", help_text, value=value)


def _application(figures: Collector, ready: Ready) -> "WSGIApplication":
    """The three paths as a WSGI application."""
    registry = CollectorRegistry()
    registry.register(figures)
    ProcessCollector(registry=registry)

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        status, content_type = "200 OK", "application/json"
        match environ["PATH_INFO"]:
            case "/metrics":
                body, content_type = generate_latest(registry), CONTENT_TYPE_LATEST
            case "/healthz":
                body = _json({"status": "alive"})
            case "/readyz":
                told = ready()
                body = _json(told)
                if told["status"] == UNREADY:
                    status = "503 Service Unavailable"
            case path:
                status, body = "404 Not Found", _json({"detail": f"no {path}; see /metrics"})
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            status, body = "405 Method Not Allowed", _json({"detail": "only GET is answered"})
        headers = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
        start_response(status, headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    return answer


def _json(told: Mapping[str, object]) -> bytes:
    return json.dumps(told).encode() + b"\n"


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each caller in a thread of its own; a slow one holds up nobody and no shutdown."""

    daemon_threads = True
    allow_reuse_port = False

    def server_bind(self) -> None:
        """Without asking a name server what this machine is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()


class _ServerV6(_Server):
    address_family = AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = _TIMEOUT_S

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a scrape every few seconds is no news."""
