"""The log of decisions, newest first, a page at a time."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from asyncpg import Record

from pullarm.domain.analysis import DecisionFilter, EventPage, LoggedEvent, Shown
from pullarm.storage.postgres.database import Database, queries
from pullarm.storage.postgres.export import uid_span

_SQL = queries("decisions")
SCANNED = 10_000
"""How many decisions a page looks at, at most."""

_Credits = Mapping[tuple[UUID, int], Mapping[str, int]]


class PostgresDecisions:
    """Reads one experiment's decisions with what came of them."""

    def __init__(self, database: Database, *, scanned: int = SCANNED) -> None:
        self._database = database
        self._scanned = scanned

    async def page(
        self, experiment: int, sought: DecisionFilter, *, limit: int, before: bytes | None = None
    ) -> EventPage:
        """At most `limit` decisions that fit, by uid, newest first; of those before a uid, where one is given.

        There may be further ones though a page has none: it looks at so many decisions only.
        """
        start, end = uid_span(sought.since, sought.until)
        if before is not None:
            end = min(end, UUID(bytes=before))
        async with self._database.snapshot() as connection:
            await connection.execute(_SQL["prepare"])
            rows = await connection.fetch(
                _SQL["page"],
                *(experiment, start, end, self._scanned),
                *(sought.policy, sought.arms, sought.cohort, sought.bucket, limit),
            )
            if len(rows) == limit:
                last: UUID | None = rows[-1]["uid"]
            else:
                last = await connection.fetchval(_SQL["last_scanned"], start, end, self._scanned)
            credits = _by_slot(
                await connection.fetch(_SQL["credits"], [row["uid"] for row in rows])
            )
        return EventPage(
            events=tuple(_event(row, credits) for row in rows), next=last.bytes if last else None
        )


def _by_slot(rows: Sequence[Record]) -> _Credits:
    credits: defaultdict[tuple[UUID, int], dict[str, int]] = defaultdict(dict)
    for row in rows:
        credits[row["uid"], row["slot"]][row["kind"]] = row["value"]
    return credits


def _event(row: Record, credits: _Credits) -> LoggedEvent:
    slots = zip(row["arms"], row["weights"], row["totals"], strict=True)
    return LoggedEvent(
        uid=row["uid"].bytes,
        decided_at=row["decided_at"],
        allocation_epoch=row["allocation_epoch"],
        config_no=row["config_no"],
        pub_no=row["pub_no"],
        unit=row["unit"],
        bucket=row["bucket"],
        cohort=row["cohort"],
        assigned=row["assigned"],
        acting=row["acting"],
        reason=row["reason"],
        attributes=row["attributes"],
        request_id=row["request_id"],
        voided=row["voided"],
        slots=tuple(
            Shown(
                arm_no=arm_no,
                weight=weight,
                total=total,
                credits=credits.get((row["uid"], slot), {}),
            )
            for slot, (arm_no, weight, total) in enumerate(slots, start=1)
        ),
    )
