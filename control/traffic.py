"""How many requests there are, how they end, and how long their answers take to begin."""

import time
from collections.abc import Iterable
from http import HTTPMethod

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_METHODS = frozenset(method.value for method in HTTPMethod)


class Traffic(Collector):
    """Of one process, since it began. Not by path: that is whatever somebody asks for."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "pullarm_http_requests",
            "REST requests by method and status.",
            ("method", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "pullarm_http_request_seconds",
            "Until an answer begins.",
            buckets=BUCKETS_S,
            registry=self._registry,
        )

    def collect(self) -> Iterable[Metric]:
        """All figures of one moment."""
        return self._registry.collect()

    def counting(self, app: ASGIApp) -> ASGIApp:
        """The same application; around all of it, so that what it refuses itself is counted too."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP:
                await app(scope, receive, send)
                return
            began = time.perf_counter()
            method = str(scope["method"]) if scope["method"] in _METHODS else "other"

            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self._requests.labels(method, str(message["status"])).inc()
                    self._seconds.observe(time.perf_counter() - began)
                await send(message)

            await app(scope, receive, noting)

        return counted
