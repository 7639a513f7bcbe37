"""The dashboard's log-in: a token is exchanged for a cookie that scripts cannot read and other sites cannot use."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from litestar import Controller, Response, delete, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency

from control import bodies
from control.access import COOKIE, PUBLIC, Access, needs
from control.problems import AnyRequest
from pullarm.clock import Clock
from pullarm.domain.access import Principal, Role, digest
from pullarm.domain.errors import Forbidden, invalid
from pullarm.domain.ports import SessionStore

_MS_PER_S = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalView:
    """Who is asking."""

    name: str
    role: str


class Sessions:
    """Opening and closing sessions."""

    def __init__(
        self, store: SessionStore, access: Access, clock: Clock, *, lifetime_s: float
    ) -> None:
        self.lifetime_s = round(lifetime_s)
        self._store = store
        self._access = access
        self._clock = clock

    async def open(self, body: object) -> tuple[Principal, str]:
        """The principal of the token in a body, and what their browser is to keep."""
        secret = body.get("token") if isinstance(body, Mapping) else None
        if not isinstance(secret, str):
            raise invalid("token", "is required")
        principal = await self._access.of_secret(secret.strip())
        if not principal.may(Role.VIEWER):
            raise Forbidden(f"a token of role {principal.role} is for gRPC alone")
        kept, now_ms = secrets.token_urlsafe(32), self._clock()
        until_ms = now_ms + self.lifetime_s * _MS_PER_S
        await self._store.open_session(digest(kept), principal.token_id, now_ms, until_ms)
        return principal, kept

    async def close(self, kept: str) -> None:
        """End a session."""
        await self._store.close_session(digest(kept))


class SessionController(Controller):
    """`/api/session`: of whoever asks."""

    path = "/api/session"
    tags = ("Access",)

    @post(
        operation_class=bodies.LogIn,
        opt=PUBLIC,
        status_code=HTTPStatus.OK,
        request_max_body_size=4096,
    )
    async def log_in(
        self, request: AnyRequest, sessions: NamedDependency[Sessions]
    ) -> Response[PrincipalView]:
        """Exchange a token for a cookie."""
        principal, kept = await sessions.open(await bodies.read_json(request))
        cookie = _cookie(request, kept, sessions.lifetime_s)
        return Response(_view(principal), cookies=[cookie])

    @get(opt=needs(Role.VIEWER, filtered=True))
    async def who(self, principal: NamedDependency[Principal]) -> PrincipalView:
        """Say whom the token or the cookie stands for."""
        return _view(principal)

    @delete(opt=needs(Role.VIEWER, filtered=True))
    async def log_out(
        self, request: AnyRequest, sessions: NamedDependency[Sessions]
    ) -> Response[None]:
        """End the session of the cookie."""
        await sessions.close(request.cookies.get(COOKIE, ""))
        return Response(None, status_code=HTTPStatus.NO_CONTENT, cookies=[_cookie(request, "", 0)])


def _view(principal: Principal) -> PrincipalView:
    return PrincipalView(name=principal.name, role=principal.role.value)


def _cookie(request: AnyRequest, value: str, max_age_s: int) -> Cookie:
    return Cookie(
        key=COOKIE,
        value=value,
        max_age=max_age_s,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",  # over loopback's http some browsers would drop it
    )
