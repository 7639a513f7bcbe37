"""An OpenTelemetry collector: takes spans by OTLP, over HTTP or gRPC, and keeps them as they came."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeAlias

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent

Value: TypeAlias = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class Span:
    """One span, and what made it."""

    service: str
    process: str
    name: str
    trace: str
    id: str
    parent: str
    began_ns: int
    ended_ns: int
    failed: bool
    told: dict[str, Value]


@dataclass
class Collector:
    """What has come so far."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            made_by = _attributes(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [_span(made_by, sent) for sent in scope.spans]

    def of(self, trace: str, name: str = "") -> list[Span]:
        """Of a trace, the spans with this name, or all."""
        return [s for s in self.spans if s.trace == trace and (not name or s.name == name)]


def _span(made_by: dict[str, Value], sent: Sent) -> Span:
    return Span(
        service=str(made_by["service.name"]),
        process=str(made_by["pullarm.process"]),
        name=sent.name,
        trace=sent.trace_id.hex(),
        id=sent.span_id.hex(),
        parent=sent.parent_span_id.hex(),
        began_ns=sent.start_time_unix_nano,
        ended_ns=sent.end_time_unix_nano,
        failed=sent.status.code == 2,
        told=_attributes(sent.attributes),
    )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in pairs}


@contextmanager
def over_http() -> Iterator[Collector]:
    """On a port of its own, which its url tells."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.take(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def over_grpc() -> Iterator[Collector]:
    """The same."""
    collector = Collector()

    def export(request: ExportTraceServiceRequest, context: object) -> ExportTraceServiceResponse:
        collector.take(request)
        return ExportTraceServiceResponse()

    handler = grpc.unary_unary_rpc_method_handler(
        export,
        request_deserializer=ExportTraceServiceRequest.FromString,
        response_serializer=ExportTraceServiceResponse.SerializeToString,
    )
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {"Export": handler}),)
    )
    collector.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()


COLLECTORS: dict[str, Callable[[], AbstractContextManager[Collector]]] = {
    "http/protobuf": over_http,
    "grpc": over_grpc,
}
