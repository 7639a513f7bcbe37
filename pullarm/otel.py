"""OpenTelemetry, behind `pullarm.tracing`: imported only where traces are made."""

import threading
from collections.abc import Iterable
from contextlib import AbstractContextManager
from importlib import import_module
from time import time_ns

from opentelemetry.context import Context
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pullarm.tracing import Attributes, Took, Wanted

SHARE = 0.01
"""Of the calls whose callers say nothing of a trace, those that begin one, unless OTEL_TRACES_SAMPLER says otherwise:
its own default, all of them, would cost a multiple of what they cost themselves."""
CLOSE_S = 2.0
"""How long the last spans may take to be sent."""
_EXPORTERS = {
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "grpc": "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
}
_w3c = TraceContextTextMapPropagator()
_FIELDS = _w3c.fields


class Tracer:
    """Makes spans and sends them, from a thread of its own."""

    def __init__(self, wanted: Wanted) -> None:
        exporter: SpanExporter = import_module(_EXPORTERS[wanted.protocol]).OTLPSpanExporter()
        named = Resource.create({"service.name": wanted.service, "pullarm.process": wanted.process})
        self._provider = TracerProvider(
            sampler=None if wanted.sampler else ParentBasedTraceIdRatio(SHARE),
            resource=named.merge(OTELResourceDetector().detect()),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("pullarm")

    def begin(
        self, name: str, metadata: Iterable[tuple[str, str | bytes]], told: Attributes
    ) -> "Trace | None":
        """Follow a call that is just coming in, as a part of its caller's trace where it is in one; None: do not."""
        carrier = {k: v for k, v in metadata if k in _FIELDS and isinstance(v, str)}
        parent = _w3c.extract(carrier, Context())
        span = self._tracer.start_span(name, parent, SpanKind.SERVER, dict(told))
        return Trace(self, span) if span.is_recording() else None

    def record(self, name: str, parent: str, took: Took, told: Attributes) -> str:
        """Tell of something that is done, as a child of another span.

        Both spans are `traceparent`s; "" where the parent is none, or the child is not sampled.
        """
        context = _w3c.extract({"traceparent": parent}, Context())
        if not context:
            return ""
        began_ns, ended_ns = took
        kind = SpanKind.CONSUMER
        span = self._tracer.start_span(name, context, kind, dict(told), start_time=began_ns)
        own = _traceparent(span) if span.is_recording() else ""
        span.end(ended_ns)
        return own

    def child(self, name: str, parent: Span, took: Took, told: Attributes) -> None:
        """The same of a span of this process."""
        began_ns, ended_ns = took
        context = set_span_in_context(parent, Context())
        span = self._tracer.start_span(name, context, attributes=dict(told), start_time=began_ns)
        span.end(ended_ns)

    def close(self) -> None:
        """Send what is left, if that is quick."""
        # A collector that is away is asked for half a minute, and nobody can tell the library otherwise.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_S)


class Trace:
    """One call that is followed: its span, and a span for each of its steps."""

    __slots__ = ("_at_ns", "_span", "_tracer", "parent")

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span
        self._at_ns = time_ns()
        self.parent = _traceparent(span)
        """The call's span, as what its events carry."""

    def current(self) -> AbstractContextManager[Span]:
        """What is done meanwhile by whoever asks OpenTelemetry for the current span is a part of the call."""
        return use_span(self._span, record_exception=False, set_status_on_exception=False)

    def mark(self) -> None:
        """The next step begins now."""
        self._at_ns = time_ns()

    def step(self, name: str, told: Attributes) -> None:
        """A step is done, that began with the last mark or step."""
        began_ns, self._at_ns = self._at_ns, time_ns()
        self._tracer.child(name, self._span, (began_ns, self._at_ns), told)

    def end(self, told: Attributes, *, failed: bool) -> None:
        """The call is answered; `failed` where it is our fault that the answer is none."""
        self._span.set_attributes(dict(told))
        if failed:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


def _traceparent(span: Span) -> str:
    carrier: dict[str, str] = {}
    _w3c.inject(carrier, set_span_in_context(span, Context()))
    return carrier["traceparent"]
