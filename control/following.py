"""A span for each REST request that is sampled, which what it asks of others becomes a part of."""

from typing import TYPE_CHECKING

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from pullarm.otel import Tracer

_LONGEST = 200
"""Characters of a path that are told: it is whatever somebody asks for."""


def followed(tracer: "Tracer", app: ASGIApp) -> ASGIApp:
    """The same application, with traces. Of an address the path is told, and not what is asked in its query."""

    async def follow(scope: Scope, receive: Receive, send: Send) -> None:
        trace = None
        if scope["type"] == ScopeType.HTTP:
            method = str(scope["method"])
            told = {"http.request.method": method, "url.path": scope["path"][:_LONGEST]}
            headers = (
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in scope["headers"]
            )
            trace = tracer.begin(method, headers, told)
        if trace is None:
            await app(scope, receive, send)
            return
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            with trace.current():
                await app(scope, receive, noting)
        finally:
            trace.end({"http.response.status_code": status}, failed=status >= 500)

    return follow
