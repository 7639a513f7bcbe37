"""Tokens and sessions; what is looked up are digests, never secrets."""

from collections.abc import Sequence
from dataclasses import replace

import asyncpg

from pullarm.domain.access import Caller, Principal, Role, Token, token_entry
from pullarm.domain.audit import Author
from pullarm.domain.errors import NotFound
from pullarm.storage.postgres.database import Database, queries
from pullarm.storage.postgres.times import at, ms
from pullarm.storage.postgres.trail import record

_SQL = queries("tokens")


class PostgresTokens:
    """The tokens and the dashboard's sessions in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, token: Token, digest: bytes, author: Author) -> None:
        """Store a new token, and in the audit trail who made it."""
        principal = token.principal
        scope = principal.experiments
        async with self._database.transaction() as connection:
            await connection.execute(
                _SQL["create"],
                principal.token_id,
                principal.name,
                principal.role.value,
                None if scope is None else sorted(scope),
                digest,
                token.created_at,
                token.created_by,
                token.expires_at,
            )
            await record(
                connection,
                author,
                token.created_at,
                "create token",
                ({}, token_entry(token)),
            )

    async def all(self) -> list[Token]:
        """All there ever were, newest first."""
        async with self._database.connection() as connection:
            return [_token(row) for row in await connection.fetch(_SQL["all"])]

    async def revoke(self, token_id: str, author: Author, now_ms: int) -> Token:
        """End a token for good, and store in the audit trail who did; again changes nothing. Raises NotFound."""
        now = at(now_ms)
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_SQL["lock"], token_id)
            if row is None:
                raise NotFound(f"there is no token {token_id[:80]!r}")
            token = _token(row)
            if token.revoked_at is None:
                token = replace(token, revoked_at=now, revoked_by=author.actor)
                await connection.execute(_SQL["revoke"], token_id, now, author.actor)
                await record(connection, author, now, "revoke token", ({}, token_entry(token)))
        return token

    async def of(self, digest: bytes, now_ms: int) -> Token | None:
        """The token with this digest; None where there is none, or it does not live any more."""
        async with self._database.connection() as connection:
            return _living(await connection.fetchrow(_SQL["by_digest"], digest), now_ms)

    async def callers(self, now_ms: int) -> Sequence[Caller]:
        """The living tokens that are for serving, by digest."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["callers"], at(now_ms))
        return [
            Caller(
                row["digest"],
                row["name"],
                None if row["experiments"] is None else tuple(row["experiments"]),
                None if row["expires_at"] is None else ms(row["expires_at"]),
            )
            for row in rows
        ]

    async def open_session(
        self, digest: bytes, token_id: str, now_ms: int, expires_ms: int
    ) -> None:
        """Remember a session of this token; those that have expired are forgotten."""
        async with self._database.transaction() as connection:
            await connection.execute(_SQL["forget_sessions"], at(now_ms))
            await connection.execute(_SQL["open_session"], digest, token_id, at(expires_ms))

    async def in_session(self, digest: bytes, now_ms: int) -> Token | None:
        """The token that this session is of; None where there is none, or either does not live any more."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL["by_session"], digest, at(now_ms))
        return _living(row, now_ms)

    async def close_session(self, digest: bytes) -> None:
        """Forget a session, if there is one."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["close_session"], digest)


def _living(row: asyncpg.Record | None, now_ms: int) -> Token | None:
    token = None if row is None else _token(row)
    return token if token is not None and token.lives(at(now_ms)) else None


def _token(row: asyncpg.Record) -> Token:
    scope = row["experiments"]
    return Token(
        principal=Principal(
            token_id=row["token_id"],
            name=row["name"],
            role=Role(row["role"]),
            experiments=None if scope is None else frozenset(scope),
        ),
        created_at=row["created_at"],
        created_by=row["created_by"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        revoked_by=row["revoked_by"],
    )
