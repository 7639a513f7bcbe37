"""Keeps other sites' pages from changing anything through the browser of somebody who reaches the control plane."""

from litestar.exceptions import PermissionDeniedException

from control.problems import AnyRequest

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


async def refuse_other_sites(request: AnyRequest) -> None:
    """Refuse a change that a page of another host asks for; who sends no Origin is no page."""
    origin = request.headers.get("origin")
    if origin is None or request.method in _SAFE:
        return
    host = request.headers.get("host", "")
    if origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
        raise PermissionDeniedException(
            detail=f"a page of {origin[:80]!r} may change nothing here; open the page of {host!r}"
        )
