"""Entries of the audit trail as they are answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from control.views import values
from pullarm.domain.audit import AuditEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryView:
    """One change."""

    audit_no: int
    at: datetime
    actor: str
    """The name and id of a token, or who ran a command, or what did it by itself."""
    origin: str
    """REST, dashboard, command, or what did it by itself."""
    address: str
    """From where it was asked for; empty where not over a network."""
    experiment: str | None
    """Its id."""
    config_no: int | None
    """The version of the experiment that it made."""
    action: str
    before: Mapping[str, object]
    after: Mapping[str, object]
    """What changed alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryList:
    """Changes, newest first."""

    entries: tuple[EntryView, ...]
    next: int | None
    """What to give as `before` for the ones that came earlier; null at the end."""


def entry_view(entry: AuditEntry, experiment: str | None) -> EntryView:
    """One change of the experiment with this id."""
    return EntryView(**values(entry) | {"experiment": experiment})
