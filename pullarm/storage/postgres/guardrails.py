"""Checks of guardrails, rollbacks, and what is owed of both."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from asyncpg import Record

from pullarm.domain.alert import Alert
from pullarm.domain.experiment import Experiment
from pullarm.domain.guardrail import NAMES, Check, Rollback, StoredCheck, Verdict
from pullarm.statistics.guardrails.readings import Readings
from pullarm.statistics.ratio import Sums
from pullarm.storage.postgres import alerts, readings
from pullarm.storage.postgres.database import Connection, Database, queries
from pullarm.storage.postgres.experiments import read_experiment
from pullarm.storage.postgres.readings import Epoch
from pullarm.storage.postgres.times import at, ms

_SQL = queries("guardrails")


@dataclass(frozen=True, slots=True)
class Owed:
    """An experiment whose guardrails are to be checked."""

    number: int
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Recheck:
    """A rollback whose rewards have matured."""

    number: int
    epoch: Epoch
    rolled_back_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the checks of one time came to."""

    experiment: int
    guard_epoch: int
    due_ms: int
    now_ms: int
    checks: Sequence[Check]
    alerts: Sequence[Alert]
    rollback: Rollback | None
    """One that they call for."""


class PostgresGuardrails:
    """The guardrails' side of the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def owed(self, due_ms: int, now_ms: int) -> list[Owed]:
        """The experiments that have no check since `due_ms`; one that was missed is made up for by the next."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["due"], at(due_ms), now_ms // 60_000, NAMES[0])
        return [
            Owed(row["experiment_id"], Epoch(row["guard_epoch"], row["from_minute"]))
            for row in rows
        ]

    async def readings(self, owed: Owed, now_ms: int) -> tuple[Experiment, Readings]:
        """The experiment, and what its guardrails are judged by."""
        async with self._database.transaction() as connection:
            experiment = await read_experiment(connection, owed.number)
            return experiment, await readings.read(connection, experiment, owed.epoch, now_ms)

    async def sums(
        self, number: int, epoch: Epoch, age_s: float
    ) -> tuple[Experiment, dict[str, dict[int, Sums]]]:
        """Users' sums of the tests that ran at an age of a guard epoch, with all that came late."""
        async with self._database.transaction() as connection:
            experiment = await read_experiment(connection, number)
            return experiment, await readings.read_sums(connection, number, epoch, age_s)

    async def store(self, outcome: Outcome) -> bool:
        """Keep all of it in one transaction; False where another process has done so for the same time."""
        async with self._database.transaction() as connection:
            stored = await connection.fetch(
                _SQL["add_checks"],
                outcome.experiment,
                at(outcome.due_ms),
                at(outcome.now_ms),
                outcome.guard_epoch,
                [check.guardrail for check in outcome.checks],
                [check.verdict.value for check in outcome.checks],
                [msgspec.to_builtins(check) for check in outcome.checks],
            )
            if not stored:
                return False
            if outcome.rollback is not None:
                await _add_rollback(connection, outcome.experiment, outcome.rollback)
            for alert in outcome.alerts:
                await alerts.put(connection, alert, at(outcome.now_ms))
        return True

    async def latest(self, number: int) -> list[StoredCheck]:
        """The newest check of each guardrail."""
        async with self._database.connection() as connection:
            return [
                _check(row) for row in await connection.fetch(_SQL["latest"], number, list(NAMES))
            ]

    async def recent(
        self, number: int, guard_epoch: int, since: datetime
    ) -> dict[str, list[tuple[Verdict, datetime]]]:
        """By guardrail: verdicts of a guard epoch since a moment and when they were due, the newest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["recent"], number, guard_epoch, since, list(NAMES))
        found: defaultdict[str, list[tuple[Verdict, datetime]]] = defaultdict(list)
        for row in rows:
            found[row["guardrail"]].append((Verdict(row["verdict"]), row["due_at"]))
        return dict(found)

    async def history(
        self, number: int, guardrail: str, *, before: datetime | None, count: int
    ) -> list[StoredCheck]:
        """At most `count` checks of one guardrail that were due before a moment, newest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["history"], number, guardrail, before, count)
        return [_check(row) for row in rows]

    async def states(self) -> list[tuple[str, str, str]]:
        """(experiment id, guardrail, newest verdict) of all experiments that are guarded."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["states"], list(NAMES))
        return [(row["id"], row["guardrail"], row["verdict"]) for row in rows]

    async def forget(self, before: datetime) -> int:
        """Remove older checks, but for the newest of each guardrail; how many."""
        async with self._database.connection() as connection:
            status = await connection.execute(_SQL["forget"], before, list(NAMES))
        return int(status.split()[-1])

    async def rollbacks(self, number: int) -> list[Rollback]:
        """Those by guardrails, newest first."""
        async with self._database.connection() as connection:
            return [_rollback(row) for row in await connection.fetch(_SQL["rollbacks"], number)]

    async def count_rollbacks(self, number: int, guard_epoch: int) -> int:
        """How many there were before this guard epoch that matured rewards did not contradict."""
        async with self._database.connection() as connection:
            return int(await connection.fetchval(_SQL["count_rollbacks"], number, guard_epoch))

    async def rechecks(self, now_ms: int) -> list[Recheck]:
        """Rollbacks that rest on rewards, which have matured by now."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["rechecks"], at(now_ms))
        return [
            Recheck(
                row["experiment_id"],
                Epoch(row["guard_epoch"], row["from_minute"]),
                ms(row["at"]),
            )
            for row in rows
        ]

    async def confirm(self, recheck: Recheck, alert: Alert, now_ms: int, *, held: bool) -> None:
        """Keep whether matured rewards say the same, once."""
        async with self._database.transaction() as connection:
            if await connection.fetchval(
                _SQL["confirm"], recheck.number, recheck.epoch.number, held
            ):
                await alerts.put(connection, alert, at(now_ms))


async def _add_rollback(connection: Connection, number: int, rollback: Rollback) -> None:
    await connection.execute(
        _SQL["add_rollback"],
        number,
        rollback.guard_epoch,
        rollback.at,
        rollback.stopped,
        rollback.reason,
        msgspec.to_builtins(rollback.evidence),
        rollback.recheck_at,
    )


def _check(row: Record) -> StoredCheck:
    return StoredCheck(
        due_at=row["due_at"],
        checked_at=row["checked_at"],
        guard_epoch=row["guard_epoch"],
        check=msgspec.convert(row["content"], Check),
    )


def _rollback(row: Record) -> Rollback:
    return Rollback(
        guard_epoch=row["guard_epoch"],
        at=row["at"],
        stopped=row["stopped"],
        reason=row["reason"],
        evidence=msgspec.convert(row["evidence"], tuple[Check, ...]),
        recheck_at=row["recheck_at"],
        confirmed=row["confirmed"],
    )
