"""Tokens and sessions in memory."""

from collections.abc import Sequence
from dataclasses import replace

from pullarm.domain.access import Caller, Role, Token, token_entry
from pullarm.domain.audit import Author
from pullarm.domain.errors import NotFound
from pullarm.storage.memory.experiments import at
from pullarm.storage.memory.trail import MemoryTrail


class MemoryTokens:
    """The tokens and the dashboard's sessions."""

    def __init__(self, trail: MemoryTrail | None = None) -> None:
        self._trail = trail or MemoryTrail()
        self._tokens: dict[bytes, Token] = {}
        self._sessions: dict[bytes, tuple[str, int]] = {}

    async def create(self, token: Token, digest: bytes, author: Author) -> None:
        """Store a new token, and in the audit trail who made it."""
        self._trail.record(author, token.created_at, "create token", ({}, token_entry(token)))
        self.add(token, digest)

    def add(self, token: Token, digest: bytes) -> None:
        """The same for those who do not wait, without a trail."""
        self._tokens[digest] = token

    async def all(self) -> list[Token]:
        """All there ever were, newest first."""
        by_id = sorted(self._tokens.values(), key=lambda token: token.principal.token_id)
        return sorted(by_id, key=lambda token: token.created_at, reverse=True)

    async def revoke(self, token_id: str, author: Author, now_ms: int) -> Token:
        """End a token for good, and store in the audit trail who did; again changes nothing. Raises NotFound."""
        for digest, token in self._tokens.items():
            if token.principal.token_id == token_id:
                if token.revoked_at is None:
                    ended = replace(token, revoked_at=at(now_ms), revoked_by=author.actor)
                    self._trail.record(author, at(now_ms), "revoke token", ({}, token_entry(token)))
                    self._tokens[digest] = ended
                return self._tokens[digest]
        raise NotFound(f"there is no token {token_id[:80]!r}")

    async def of(self, digest: bytes, now_ms: int) -> Token | None:
        """The token with this digest; None where there is none, or it does not live any more."""
        token = self._tokens.get(digest)
        return token if token is not None and token.lives(at(now_ms)) else None

    async def callers(self, now_ms: int) -> Sequence[Caller]:
        """The living tokens that are for serving, by digest."""
        return [
            _caller(digest, token)
            for digest, token in sorted(self._tokens.items(), key=lambda item: item[0])
            if token.principal.role is Role.CALLER and token.lives(at(now_ms))
        ]

    async def open_session(
        self, digest: bytes, token_id: str, now_ms: int, expires_ms: int
    ) -> None:
        """Remember a session of this token; those that have expired are forgotten."""
        self._sessions = {d: kept for d, kept in self._sessions.items() if now_ms < kept[1]}
        self._sessions[digest] = token_id, expires_ms

    async def in_session(self, digest: bytes, now_ms: int) -> Token | None:
        """The token that this session is of; None where there is none, or either does not live any more."""
        token_id, expires_ms = self._sessions.get(digest, ("", 0))
        if now_ms >= expires_ms:
            return None
        living = (t for t in self._tokens.values() if t.lives(at(now_ms)))
        return next((t for t in living if t.principal.token_id == token_id), None)

    async def close_session(self, digest: bytes) -> None:
        """Forget a session, if there is one."""
        self._sessions.pop(digest, None)


def _caller(digest: bytes, token: Token) -> Caller:
    scope, expires_at = token.principal.experiments, token.expires_at
    return Caller(
        digest,
        token.principal.name,
        None if scope is None else tuple(sorted(scope)),
        None if expires_at is None else round(expires_at.timestamp() * 1000),
    )
