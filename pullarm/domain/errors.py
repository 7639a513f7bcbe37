"""Every error a caller can meet.

    PullarmError
    ├── InvalidInput        a value is malformed or out of its range; names every field at fault
    ├── Unauthenticated     nobody showed who they are, or not so that it can be believed
    ├── Forbidden           whoever it is may not do this
    ├── NotFound            the named thing does not exist
    ├── Conflict            the action is not legal in the present state
    ├── VersionMismatch     the caller changed a version that is no longer the newest
    ├── Unavailable         a part this answer needs is away; trying again later helps
    ├── Refused             the ledger cannot take these events, however often it is tried
    └── ConfigurationError  the process was started with settings it cannot run with

Each edge maps `code` to its own status in one table (`serving/errors.py`, `control/problems.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from pullarm.domain.audit import AuditEntry
from pullarm.domain.decision import RewardStatus


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one field."""

    field: str
    detail: str

    def __str__(self) -> str:
        return f"{self.field}: {self.detail}"


class PullarmError(Exception):
    """Something went wrong in Pullarm."""

    code = "internal"
    reward_status: RewardStatus | None = None
    """What a reward is counted as that is refused with this error; None where it may be tried again."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)

    def counted_as(self, status: RewardStatus) -> Self:
        """This error, as what is wrong with a reward."""
        self.reward_status = status
        return self


class InvalidInput(PullarmError):
    """The input is malformed or out of range."""

    code = "invalid_input"
    reward_status = RewardStatus.MALFORMED_REQUEST

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


def invalid(field: str, detail: str) -> InvalidInput:
    """An InvalidInput about a single field."""
    return InvalidInput(Problem(field, detail))


class Unauthenticated(PullarmError):
    """A token is needed."""

    code = "unauthenticated"


class Forbidden(PullarmError):
    """This token may not do that."""

    code = "forbidden"


class NotFound(PullarmError):
    """There is no such thing."""

    code = "not_found"


class Conflict(PullarmError):
    """The action is not legal in the present state."""

    code = "conflict"


class VersionMismatch(PullarmError):
    """The experiment was changed in the meantime: read it again and repeat the change."""

    code = "version_mismatch"

    def __init__(self, message: str | None = None, changes: Sequence[AuditEntry] = ()) -> None:
        super().__init__(message)
        self.changes = changes
        """What was changed since, oldest first."""


class Unavailable(PullarmError):
    """A part this answer needs is away; try again."""

    code = "unavailable"


class Exhausted(PullarmError):
    """There is no room left to keep this; it frees itself once the part that is away is back."""

    code = "exhausted"


class Refused(PullarmError):
    """The ledger cannot take these events, however often it is tried."""

    code = "refused"


class ConfigurationError(PullarmError):
    """The process cannot run with these settings."""

    code = "configuration"
