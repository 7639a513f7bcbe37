"""Headers that tell browsers to do nothing that our pages do not need, and limits on how often anybody may ask."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from litestar.datastructures import MutableScopeHeaders
from litestar.middleware import DefineMiddleware
from litestar.middleware.rate_limit import RateLimitConfig, get_remote_address
from litestar.stores.memory import MemoryStore
from litestar.types import Message, Scope

from control.problems import AnyRequest
from pullarm.domain.access import Principal

STORE = "rate_limit"
_FORGET_EVERY_S = 60.0

UNLIMITED: Final[dict[str, object]] = {"unlimited": True}
"""The `opt` of a route that may be asked any number of times: a page is many files."""


def policy(inline: Sequence[str] = ()) -> str:
    """What a page may do: nothing but with files of our own; no plug-ins, frames, foreign forms or other base.

    `inline`: base64 SHA-256 of scripts that may stand within the page.
    """
    scripts = " ".join(["'self'", *[f"'sha256-{each}'" for each in inline]])
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


HEADERS: Final = {
    "Content-Security-Policy": policy(),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer, unless it says otherwise itself."""


async def add_headers(message: Message, _: Scope) -> None:
    """Add HEADERS to an answer, whoever makes it."""
    if message["type"] == "http.response.start":
        headers = MutableScopeHeaders(message)
        for name, value in HEADERS.items():
            headers.setdefault(name, value)


def by_address(per_second: int) -> list[DefineMiddleware]:
    """A limit for each address, before anybody is asked who they are; 0 is none."""
    return _limit(per_second, lambda request: f"address {get_remote_address(request)}")


def by_token(per_second: int) -> list[DefineMiddleware]:
    """A limit for each token, wherever it is used; sessions count as their token. 0 is none."""
    return _limit(per_second, _token)


def _limit(per_second: int, of: Callable[[AnyRequest], str]) -> list[DefineMiddleware]:
    """At most so many requests a second of what `of` answers alike; the empty text has no limit."""
    limit = RateLimitConfig(
        rate_limit=("second", per_second),
        identifier_for_request=of,
        check_throttle_handler=lambda request: bool(of(request)),
        exclude_opt_key=next(iter(UNLIMITED)),
        store=STORE,
    )
    return [limit.middleware] if per_second else []


def _token(request: AnyRequest) -> str:
    """Empty where nobody was asked who they are."""
    principal = request.scope.get("user")
    return f"token {principal.token_id}" if isinstance(principal, Principal) else ""


def forgetful() -> tuple[MemoryStore, Callable[[AnyRequest], Awaitable[None]]]:
    """A store for the limits, and what has to be called after answers: else every address ever seen stays in it."""
    store = MemoryStore()
    forgotten_at = time.monotonic()

    async def forget(_: AnyRequest) -> None:
        nonlocal forgotten_at
        if time.monotonic() - forgotten_at > _FORGET_EVERY_S:
            forgotten_at = time.monotonic()
            await store.delete_expired()

    return store, forget
