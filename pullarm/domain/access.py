"""Who may do what: roles, and the tokens that stand for somebody who has one."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

SECRET_PREFIX = "pullarm_"
SECRET = re.compile(SECRET_PREFIX + r"[A-Za-z0-9_-]{43}")
"""What a token looks like: 32 random bytes behind a prefix that scanners of leaked secrets can look for."""
MAX_NAME_BYTES = 128


class Role(StrEnum):
    """What a token is for. Over REST each of the first three may do what the ones before it may."""

    VIEWER = "viewer"
    """Reads."""
    OPERATOR = "operator"
    """Creates, changes, starts and stops experiments."""
    ADMIN = "admin"
    """Makes and revokes tokens."""
    CALLER = "caller"
    """Calls serving over gRPC, and nothing over REST: it lies in applications, where more people can read it."""


_RANKS = {Role.VIEWER: 1, Role.OPERATOR: 2, Role.ADMIN: 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Whom a token stands for."""

    token_id: str
    name: str
    role: Role
    experiments: frozenset[int] | None = None
    """The numbers of the experiments it is for; None: of all, future ones among them."""

    def may(self, role: Role) -> bool:
        """Whether it may do what this role may."""
        return self.role is role or _RANKS.get(self.role, 0) > _RANKS.get(role, len(_RANKS))

    def sees(self, number: int) -> bool:
        """Whether it is for this experiment."""
        return self.experiments is None or number in self.experiments


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as it is stored: without its secret, of which only a digest is kept."""

    principal: Principal
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_by: str = ""

    def lives(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def token_entry(token: Token) -> dict[str, object]:
    """What the audit trail says of a token."""
    principal = token.principal
    return {
        "token_id": principal.token_id,
        "name": principal.name,
        "role": principal.role.value,
        "experiments": principal.experiments,
        "expires_at": token.expires_at,
    }


class Caller(NamedTuple):
    """A token of role caller as serving knows it."""

    digest: bytes
    name: str
    experiments: tuple[int, ...] | None
    """As of Principal, ascending."""
    expires_ms: int | None


def digest(secret: str) -> bytes:
    """What is kept of a secret: 32 bytes.

    Plain SHA-256, because a secret has 256 random bits: there is nothing to guess that a slow or salted hash would
    protect, and one that is the same each time can be looked up.
    """
    return sha256(secret.encode()).digest()
