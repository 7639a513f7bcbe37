"""Who changed what: the entries of the audit trail, which is only ever added to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple


class Author(NamedTuple):
    """On whose account something was changed."""

    actor: str
    origin: str
    """The way it came: command, REST, dashboard, or a job's name."""
    note: str = ""
    """Why."""
    address: str = ""
    """The network address that asked; empty where nobody did over a network."""


NOBODY = Author("", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One change."""

    audit_no: int
    """Ascending, not without gaps."""
    at: datetime
    actor: str
    origin: str
    address: str
    experiment: int | None
    """None where it concerns none, or all."""
    config_no: int | None
    """The version of the experiment that it made, if it made one."""
    action: str
    before: Mapping[str, object] = field(repr=False)
    after: Mapping[str, object] = field(repr=False)
    """As JSON has them: what changed alone."""


Difference = tuple[Mapping[str, object], Mapping[str, object]]
"""Fields as they were, and as they are."""
