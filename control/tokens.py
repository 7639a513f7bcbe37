"""Tokens over REST, and what the command line makes of them too."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from litestar import Controller, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from control import bodies
from control.access import needs
from control.fields import Fields, Problems, shown
from control.problems import AnyRequest
from pullarm.clock import Clock
from pullarm.domain.access import MAX_NAME_BYTES, SECRET_PREFIX, Principal, Role, Token, digest
from pullarm.domain.audit import Author
from pullarm.domain.errors import NotFound, invalid
from pullarm.domain.ports import ExperimentStore, TokenStore
from pullarm.lifecycle import find_experiment, new_id

MAX_EXPERIMENTS = 1_000
MAX_DAYS = 3_650.0
_ID = re.compile(r"tok_[a-z0-9]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenView:
    """A token as it is listed."""

    id: str
    name: str
    role: str
    experiments: tuple[str, ...] | None
    """The ids of those it is for; null: all."""
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken(TokenView):
    """A token that was just made."""

    token: str
    """Its secret, which is shown this once and kept nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenList:
    """Tokens, newest first."""

    tokens: tuple[TokenView, ...]


class Tokens:
    """Making, listing and revoking tokens."""

    def __init__(self, store: TokenStore, experiments: ExperimentStore, clock: Clock) -> None:
        self._store = store
        self._experiments = experiments
        self._clock = clock

    async def create(self, body: object, author: Author) -> NewToken:
        """Make a token as it is asked for in JSON; raises InvalidInput with every problem."""
        if not isinstance(body, Mapping):
            raise invalid("body", f"must be a JSON object, not {shown(body)}")
        problems = Problems()
        given = Fields(body, problems)
        given.only(("name", "role", "experiments", "expires_in_days"))
        for name in ("name", "role"):
            if name not in given:
                given.note(name, "is required")
        now = datetime.fromtimestamp(self._clock() / 1000, UTC)
        principal = Principal(
            token_id=new_id("tok_"),
            name=given.text("name", "", limit_bytes=MAX_NAME_BYTES, empty="name" not in given),
            role=given.choice("role", Role.VIEWER, {role.value: role for role in Role}),
            experiments=await self._read_scope(given),
        )
        if principal.role is Role.ADMIN and principal.experiments is not None:
            given.note("experiments", "an admin makes tokens for any experiment: leave it out")
        expires_at = None
        if "expires_in_days" in given:
            expires_at = now + timedelta(days=given.positive("expires_in_days", 1.0, MAX_DAYS))
        problems.raise_if_any()
        token = Token(
            principal=principal, created_at=now, created_by=author.actor, expires_at=expires_at
        )
        secret = SECRET_PREFIX + secrets.token_urlsafe(32)
        await self._store.create(token, digest(secret), author)
        return NewToken(**_fields(token, await self._ids()), token=secret)

    async def all(self) -> tuple[TokenView, ...]:
        """All there ever were, newest first."""
        ids = await self._ids()
        return tuple(TokenView(**_fields(token, ids)) for token in await self._store.all())

    async def revoke(self, token_id: str, author: Author) -> TokenView:
        """End a token for good; again changes nothing. Raises NotFound."""
        if not _ID.fullmatch(token_id):  # which the database might refuse to read
            raise NotFound(f"there is no token {token_id[:80]!r}")
        token = await self._store.revoke(token_id, author, self._clock())
        return TokenView(**_fields(token, await self._ids()))

    async def _read_scope(self, given: Fields) -> frozenset[int] | None:
        if "experiments" not in given:
            return None
        listed = given.raw("experiments")
        if not isinstance(listed, list) or not 0 < len(listed) <= MAX_EXPERIMENTS:
            given.note(
                "experiments",
                f"must list 1 to {MAX_EXPERIMENTS} ids or keys; left out it means all experiments",
            )
            return None
        numbers: set[int] = set()
        for place, reference in enumerate(listed):
            if not isinstance(reference, str):
                given.note(f"experiments[{place}]", f"must be an id or key, not {shown(reference)}")
                continue
            try:
                numbers.add((await find_experiment(self._experiments, reference)).number)
            except NotFound as error:
                given.note(f"experiments[{place}]", str(error))
        return frozenset(numbers)

    async def _ids(self) -> Mapping[int, str]:
        return {each.number: each.id for each in await self._experiments.all()}


def _fields(token: Token, ids: Mapping[int, str]) -> dict[str, Any]:
    principal = token.principal
    scope = principal.experiments
    return {
        "id": principal.token_id,
        "name": principal.name,
        "role": principal.role.value,
        "experiments": None if scope is None else tuple(ids[number] for number in sorted(scope)),
        "created_at": token.created_at,
        "created_by": token.created_by,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "revoked_by": token.revoked_by,
    }


class TokenController(Controller):
    """`/api/tokens`."""

    path = "/api/tokens"
    tags = ("Access",)
    opt = needs(Role.ADMIN)

    @post(operation_class=bodies.CreateToken)
    async def create(
        self,
        request: AnyRequest,
        tokens: NamedDependency[Tokens],
        author: NamedDependency[Author],
    ) -> Response[NewToken]:
        """Make a token; its secret is in this answer and nowhere else."""
        made = await tokens.create(await bodies.read_json(request), author)
        return Response(made, status_code=HTTPStatus.CREATED)

    @get()
    async def list(self, tokens: NamedDependency[Tokens]) -> TokenList:
        """List tokens, newest first, those that are revoked or expired among them."""
        return TokenList(tokens=await tokens.all())

    @delete("/{token_id:str}", status_code=HTTPStatus.OK)
    async def revoke(
        self,
        token_id: FromPath[str],
        tokens: NamedDependency[Tokens],
        author: NamedDependency[Author],
    ) -> TokenView:
        """Revoke a token for good; it ends within a second everywhere, and again is harmless."""
        return await tokens.revoke(token_id, author)
