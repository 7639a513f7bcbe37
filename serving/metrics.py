"""What watches a serving process is answered from: `/metrics`, `/healthz` and `/readyz`, in a thread of their own.

Figures are read when somebody asks for them; a request never touches them. At most MAX_EXPERIMENTS experiments have
labels of their own, the rest are summed up under `other`, so that a scrape stays small.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from socket import AF_INET6
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, TypeVar
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from pullarm.domain.errors import ConfigurationError
from pullarm.environment import host_and_port
from pullarm.statistics.sketch import LatencySketch
from serving.vitals import Status, Vitals, readiness

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

ADDRESS = "PULLARM_METRICS_ADDRESS"
MAX_EXPERIMENTS = 100
OTHER = "other"
BUCKETS_MS = (1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 120.0, 250.0, 500.0, 1_000.0)
"""Among them 100 and 120: where latency is a warning, and where it is critical."""
_TIMEOUT_S = 5.0

_Labels = TypeVar("_Labels", bound=tuple[str, ...])
Look = Callable[[], Vitals]
"""Called in the thread that answers: it copies dictionaries before it goes through them."""


@contextmanager
def watched(address: str, look: Look, max_silence_s: float) -> Iterator[int]:
    """Answer at HOST:PORT for as long as the block lasts; yields the port, which for port 0 is any free one.

    Raises ConfigurationError where the address is malformed or cannot be listened on.
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
        server.set_app(application(look, max_silence_s))
        thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


def application(look: Look, max_silence_s: float) -> "WSGIApplication":
    """The three paths as a WSGI application."""
    registry = CollectorRegistry()
    registry.register(Figures(look, max_silence_s))
    ProcessCollector(registry=registry)

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        status, content_type = "200 OK", "application/json"
        match environ["PATH_INFO"]:
            case "/metrics":
                body, content_type = generate_latest(registry), CONTENT_TYPE_LATEST
            case "/healthz":
                body = _json({"status": "alive"})
            case "/readyz":
                told = ready(look(), max_silence_s)
                body = _json(told)
                if told["status"] == Status.UNREADY:
                    status = "503 Service Unavailable"
            case path:
                status, body = "404 Not Found", _json({"detail": f"no {path}; see /metrics"})
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            status, body = "405 Method Not Allowed", _json({"detail": "only GET is answered"})
        headers = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
        start_response(status, headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    return answer


def ready(vitals: Vitals, max_silence_s: float) -> dict[str, object]:
    """What `/readyz` says."""
    judged = readiness(vitals, max_silence_s)
    return {
        "status": judged.status.value,
        "reasons": judged.reasons,
        "experiments": vitals.experiments,
        "snapshot_age_s": round(vitals.snapshot_age_s, 3),
        "contact_age_s": round(vitals.contact_age_s, 3),
        "events_waiting": vitals.events_waiting,
        "spool_bytes": vitals.spool.waiting_bytes,
        "spool_entries": vitals.spool.waiting_entries,
        "durability": vitals.durability,
    }


class Figures(Collector):
    """A process's vitals as Prometheus names them."""

    def __init__(self, look: Look, max_silence_s: float) -> None:
        self._look = look
        self._max_silence_s = max_silence_s

    def describe(self) -> Iterable[Metric]:
        """Nothing ahead: else registering would look at a process that is only starting."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """All figures of one moment."""
        vitals = self._look()
        yield from _selections(vitals)
        yield from _events(vitals)
        yield from _snapshot(vitals)
        judged = readiness(vitals, self._max_silence_s).status
        states = GaugeMetricFamily(
            "pullarm_readiness", "1 for the state the process is in.", labels=["state"]
        )
        for state in Status:
            states.add_metric([state.value], float(state is judged))
        yield states


def _selections(vitals: Vitals) -> Iterable[Metric]:
    counts: Counter[tuple[str, str]] = Counter()
    errors: Counter[tuple[str, str]] = Counter()
    named: set[str] = set()
    for (experiment, policy), calls in vitals.calls.items():
        if len(named) < MAX_EXPERIMENTS:
            named.add(experiment)
        key = (experiment if experiment in named else OTHER, policy)
        counts[key] += calls.count
        errors[key] += calls.errors
    labels = ["experiment", "policy"]
    yield _counter("pullarm_selections", "Selections by assigned policy.", labels, counts)
    yield _counter("pullarm_selection_errors", "Selections that failed.", labels, errors)
    histogram = HistogramMetricFamily(
        "pullarm_selection_seconds",
        "From request to answer, within 1 %, by assigned policy.",
        labels=["policy"],
    )
    for policy, counted in vitals.latencies.items():
        buckets, sum_ms = _histogram(counted)
        histogram.add_metric([policy], buckets, sum_ms / 1_000)
    yield histogram
    yield _counter(
        "pullarm_rewards",
        "Answered rewards by status, the refused ones among them.",
        ["status"],
        {(status,): count for status, count in vitals.rewards.items()},
    )
    yield _counter(
        "pullarm_refusals", "Calls answered with an error.", ["method", "code"], vitals.refusals
    )


def _events(vitals: Vitals) -> Iterable[Metric]:
    spool = vitals.spool
    yield _gauge("events_waiting", "Events that wait to be stored.", vitals.events_waiting)
    yield _gauge("events_waiting_bytes", "Their size.", vitals.events_waiting_bytes)
    away = vitals.stream_trouble is not None
    yield _gauge("event_stream_away", "1 while the event stream takes nothing.", away)
    yield _gauge("events_full", "1 while events are refused.", vitals.events_full is not None)
    yield _total("acknowledgements_slow", "Entries over the budget.", vitals.slow_acknowledgements)
    yield _total("events_lost", "Events that found no room anywhere.", vitals.lost)
    yield _total("decisions_voided", "Decisions nobody was shown.", vitals.voided)
    yield _gauge("spool_bytes", "Size of what waits in the spool.", spool.waiting_bytes)
    yield _gauge("spool_limit_bytes", "Size the spool may have.", spool.max_bytes)
    yield _gauge("spool_entries", "Entries that wait in the spool.", spool.waiting_entries)
    yield _total("spool_written", "Entries written to the spool.", spool.written)
    yield _total("spool_torn_bytes", "Bytes cut off behind a last whole entry.", spool.torn)
    yield _total("spool_damaged", "Entries that could not be read back.", spool.damaged)
    yield InfoMetricFamily(
        "pullarm_durability", "What an answer outlives.", value={"mode": vitals.durability}
    )


def _snapshot(vitals: Vitals) -> Iterable[Metric]:
    yield _gauge(
        "snapshot_age_seconds", "Since all that was folded was served.", vitals.snapshot_age_s
    )
    yield _gauge("board_silence_seconds", "Since the board was reached.", vitals.contact_age_s)
    yield _gauge("experiments", "Experiments that are served.", vitals.experiments)
    yield _gauge("experiments_missing", "Published, and not to be served.", vitals.missing)
    yield _total("publications_refused", "Publications that were not sound.", vitals.refused)
    yield _gauge("publications_standing_refused", "Of these, not mended.", len(vitals.problems))


def _counter(name: str, help_text: str, labels: list[str], counts: Mapping[_Labels, int]) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=labels)
    for values, count in counts.items():
        family.add_metric(list(values), count)
    return family


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"pullarm_{name}", help_text, value=value)


def _total(name: str, help_text: str, value: int) -> Metric:
    return CounterMetricFamily(f"pullarm_{name}", help_text, value=value)


def _histogram(counted: Mapping[int, int]) -> tuple[list[tuple[str, float]], float]:
    """Cumulative counts by upper edge in seconds, and the sum in milliseconds, of a sketch's own values."""
    counts = [(_value_ms(bucket), count) for bucket, count in counted.items()]
    edges = [
        (str(edge / 1_000), float(sum(count for value, count in counts if value <= edge)))
        for edge in BUCKETS_MS
    ]
    return [*edges, ("+Inf", float(sum(count for _, count in counts)))], sum(
        value * count for value, count in counts
    )


@cache
def _value_ms(bucket: int) -> float:
    value = LatencySketch({bucket: 1}).quantile(0.5)
    assert value is not None
    return value


def _json(told: dict[str, object]) -> bytes:
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
