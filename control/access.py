"""Who asks, and whether they may: every route says what it needs, and what says nothing is closed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.middleware.authentication import (
    AbstractAuthenticationMiddleware,
    AuthenticationResult,
)
from litestar.types import ASGIApp

from control.origin import comes_from_our_page
from pullarm.clock import Clock
from pullarm.domain.access import SECRET, Principal, Role, Token, digest
from pullarm.domain.decision import NO_EXPERIMENT
from pullarm.domain.errors import Forbidden, NotFound, Unauthenticated, Unavailable
from pullarm.domain.ports import ExperimentStore, SessionStore, TokenStore
from pullarm.lifecycle import find_experiment

COOKIE = "pullarm_session"
_SCHEME = "bearer "
_NEED = "need"
_PUBLIC = "public"

_MOST_HEARD = 10_000

_Ask = Callable[[bytes, int], Awaitable[Token | None]]
AnyConnection = ASGIConnection[Any, Any, Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a route asks of whoever calls it."""

    role: Role
    filtered: bool = False
    """Whether it takes care by itself that a token of some experiments sees those alone."""


def needs(role: Role, *, filtered: bool = False) -> dict[str, object]:
    """A route's `opt`. A token of some experiments passes where the path names one of those, or the route filters."""
    return {_NEED: Need(role=role, filtered=filtered)}


PUBLIC: Final[dict[str, object]] = {_PUBLIC: True}
"""The `opt` of a route that is open to everybody."""


def is_public(handler: BaseRouteHandler) -> bool:
    """Whether a route is open to everybody."""
    return bool(handler.opt.get(_PUBLIC))


class Access:
    """Knows whom a token or a session stands for, and what a route lets them do."""

    def __init__(
        self,
        tokens: TokenStore,
        sessions: SessionStore,
        experiments: ExperimentStore,
        clock: Clock,
    ) -> None:
        self._tokens = tokens
        self._sessions = sessions
        self._experiments = experiments
        self._clock = clock
        self._heard: dict[bytes, Token] = {}
        """What the stores last confirmed."""

    async def of_secret(self, secret: str) -> Principal:
        """Whom a token stands for; raises Unauthenticated."""
        found = None
        if SECRET.fullmatch(secret):
            found = await self._known(self._tokens.of, digest(secret))
        if found is None:
            raise Unauthenticated("the token is unknown, revoked or expired")
        return found

    async def authenticate(self, connection: AnyConnection) -> AuthenticationResult:
        """The principal as `user`, and as `auth` whether it is a session that says so; raises Unauthenticated."""
        header = connection.headers.get("authorization")
        if header is not None:
            if not header.lower().startswith(_SCHEME):
                raise Unauthenticated(
                    "send `Authorization: Bearer TOKEN`; there is no other scheme"
                )
            secret = header[len(_SCHEME) :].strip()
            return AuthenticationResult(user=await self.of_secret(secret), auth=False)
        cookie = connection.cookies.get(COOKIE)
        if cookie is None:
            raise Unauthenticated(
                "a token is needed: send `Authorization: Bearer TOKEN`, or log in on the page at /"
            )
        principal = await self._known(self._sessions.in_session, digest(cookie))
        if principal is None:
            raise Unauthenticated("the session has ended; log in again")
        return AuthenticationResult(user=principal, auth=True)

    async def _known(self, ask: _Ask, kept: bytes) -> Principal | None:
        """Whose token or session is kept so; as last heard while the store is away, so that a stop can be made."""
        now_ms = self._clock()
        try:
            found = await ask(kept, now_ms)
        except Unavailable:
            found = self._heard.get(kept)
            if found is None:
                raise
        else:
            self._remember(kept, found)
        lives = found is not None and found.lives(datetime.fromtimestamp(now_ms / 1000, UTC))
        return found.principal if found is not None and lives else None

    def _remember(self, kept: bytes, found: Token | None) -> None:
        if found is None:
            self._heard.pop(kept, None)
        else:
            if len(self._heard) >= _MOST_HEARD:
                self._heard.clear()
            self._heard[kept] = found

    async def check(self, connection: AnyConnection, handler: BaseRouteHandler) -> None:
        """A guard of every route; raises Forbidden."""
        if is_public(handler):
            return
        principal, need = connection.scope.get("user"), handler.opt.get(_NEED)
        if not isinstance(principal, Principal) or not isinstance(need, Need):
            raise Forbidden("nobody may do that")
        if connection.scope["auth"] and not comes_from_our_page(connection):
            raise Forbidden("a session may change things from the dashboard's own pages only")
        if not principal.may(need.role):
            raise Forbidden(
                f"that takes a token of role {need.role}; {principal.name!r} has role {principal.role}"
            )
        if principal.experiments is not None and not need.filtered:
            await self._check_scope(connection, principal)

    async def _check_scope(self, connection: AnyConnection, principal: Principal) -> None:
        reference = connection.path_params.get("reference")
        if reference is None:
            raise Forbidden(f"{principal.name!r} is for some experiments only, and that is for all")
        try:
            number = (await find_experiment(self._experiments, reference)).number
        except NotFound:  # which is not told: a key is a name, and may say what others plan
            number = NO_EXPERIMENT
        if not principal.sees(number):
            raise Forbidden(f"{principal.name!r} is not for an experiment {reference[:80]!r}")


class Authentication(AbstractAuthenticationMiddleware):
    """Asks who calls before anything else is looked at."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        super().__init__(app, exclude_from_auth_key=_PUBLIC, exclude_http_methods=())
        self._access = access

    async def authenticate_request(self, connection: AnyConnection) -> AuthenticationResult:
        """Raises Unauthenticated."""
        return await self._access.authenticate(connection)
