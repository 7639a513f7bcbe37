"""Keeps other sites' pages from changing anything through the browser of somebody who reaches the control plane."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.exceptions import PermissionDeniedException

from control.problems import AnyRequest

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


async def refuse_other_sites(request: AnyRequest) -> None:
    """Refuse a change that a page of another host asks for; who sends no Origin is no page."""
    origin = request.headers.get("origin")
    if request.method in _SAFE or origin is None or _is_ours(request, origin):
        return
    host = request.headers.get("host", "")
    raise PermissionDeniedException(
        detail=f"a page of {origin[:80]!r} may change nothing here; open the page of {host!r}"
    )


def comes_from_our_page(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether a browser says that a page of this very host and port asks, or nothing is changed.

    Every browser sends the Origin of a change. Cookies know no ports, so that this is what keeps a page of the same
    host's other servers out, SameSite or not.
    """
    origin = connection.headers.get("origin")
    ours = origin is not None and _is_ours(connection, origin)
    return ours or connection.scope.get("method") in _SAFE


def _is_ours(connection: ASGIConnection[Any, Any, Any, Any], origin: str) -> bool:
    host = connection.headers.get("host", "").lower()
    return origin.lower() in (f"http://{host}", f"https://{host}")
