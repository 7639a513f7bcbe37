"""The audit trail in memory."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from pullarm.domain.audit import AuditEntry, Author, Difference


class MemoryTrail:
    """The audit trail."""

    def __init__(self) -> None:
        self._entries: list[AuditEntry] = []

    async def page(
        self, experiment: int | None, *, before: int | None, count: int
    ) -> list[AuditEntry]:
        """At most `count` entries with numbers below `before`, newest first; of one experiment, or of all there is."""
        found = [
            each
            for each in reversed(self._entries)
            if (experiment is None or each.experiment == experiment)
            and (before is None or each.audit_no < before)
        ]
        return found[:count]

    async def since(self, experiment: int, config_no: int) -> list[AuditEntry]:
        """What made the versions of an experiment after this one, oldest first."""
        return [
            each
            for each in self._entries
            if each.experiment == experiment and (each.config_no or 0) > config_no
        ]

    def record(
        self,
        author: Author,
        at: datetime,
        action: str,
        change: Difference,
        *,
        experiment: int | None = None,
        config_no: int | None = None,
    ) -> None:
        """Add an entry."""
        before, after = change
        note = {"note": author.note} if author.note else {}
        entry = AuditEntry(
            audit_no=len(self._entries) + 1,
            at=at,
            actor=author.actor,
            origin=author.origin,
            address=author.address,
            experiment=experiment,
            config_no=config_no,
            action=action,
            before=_as_json(before),
            after=_as_json({**after, **note}),
        )
        self._entries.append(entry)


def _as_json(values: Mapping[str, object]) -> dict[str, Any]:
    """What a reader of the ledger gets."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(values))
    return found
