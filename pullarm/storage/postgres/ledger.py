"""The fold: a set of events becomes ledger rows and posterior counts in one transaction (ledger.md, Fold).

Every statement goes through its rows in order of their key, so that two workers never wait for each other in a
circle. The row of a decision is the lock for all that hangs on it: whoever inserts, completes, voids or rewards a
decision holds it first, so that every later statement sees everything about the decision.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from operator import itemgetter
from uuid import UUID

import asyncpg

from pullarm.domain.decision import Batch, Decision, Reward, ServingMinute, Token, uid_ms
from pullarm.domain.errors import Refused
from pullarm.domain.intake import Intake
from pullarm.domain.ports import FoldResult
from pullarm.storage.postgres import intake, latency
from pullarm.storage.postgres.database import Connection, Database, queries
from pullarm.storage.postgres.times import at

_SQL = queries("ledger")
_DECISION_COLUMNS = [
    *("uid", "decided_at", "experiment_id", "allocation_epoch", "assigned", "acting", "reason"),
    *("learn_slots", "unit_hash", "cohort", "arms", "batch_no", "stub"),
    *("config_no", "pub_no", "kernel", "unit", "bucket", "candidates", "weights", "totals"),
    *("attributes", "request_id", "unlisted", "candidates_hash", "all_arms", "withheld"),
]
_REWARD_COLUMNS = [
    *("uid", "reward_uid", "received_at", "occurred_at", "experiment_id", "slot", "kind"),
    *("reward_id", "source", "value", "credit", "feeds", "retract", "status", "batch_no"),
]

_Cell = tuple[int, int, int, int]  # experiment, policy, arm, hour
# What the events themselves are to blame for. Anything else PostgreSQL finds wrong, such as a missing table, must not
# end with sound events in quarantine.
_BAD_EVENTS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    ValueError,
    OverflowError,
)


class PostgresLedger:
    """The ledger in PostgreSQL; any number of workers may fold at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._days: set[date] = set()

    async def fold(self, batch: Batch, now_ms: int) -> FoldResult:
        """Add a set of events; what is already there changes nothing.

        Raises Unavailable while PostgreSQL is away, Refused where it does not take these events; then none was added.
        """
        tokens = _tokens(batch)
        try:
            await self._ensure_days(tokens)
            async with self._database.transaction() as connection:
                return await _fold(connection, batch, tokens, at(now_ms))
        except _BAD_EVENTS as error:
            self._days.clear()  # a database restored to an earlier state may lack the partitions
            raise Refused(f"the ledger does not take these events: {error}") from error

    async def _ensure_days(self, tokens: Iterable[Token]) -> None:
        missing = {at(uid_ms(token.uid)).date() for token in tokens} - self._days
        for day in sorted(missing):
            await self.ensure_day(day)

    async def ensure_day(self, day: date) -> None:
        """Make the partitions of one day of decisions, where they are not there yet."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["ensure_day"], day)
        self._days.add(day)

    async def posterior(self, experiment: int) -> dict[tuple[int, int, int], tuple[int, int]]:
        """(policy, arm, hour since 1970) -> (serves, rewards in millionths), without cells of zeros."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["posterior"], experiment)
        return {(r["policy"], r["arm_no"], r["hour"]): (r["n"], r["s"]) for r in rows}

    async def verify(self, experiment: int) -> list[str]:
        """Recompute every posterior cell and credit from the ledger's rows; a line for each difference."""
        async with self._database.snapshot() as connection:
            cells = await connection.fetch(_SQL["verify"], experiment, timeout=600)
            credits = await connection.fetch(_SQL["verify_credits"], experiment, timeout=600)
        return [
            f"policy {r['policy']} arm {r['arm_no']} hour {r['hour']}: "
            f"stored n={r['stored_n']} s={r['stored_s']}, ledger n={r['ledger_n']} s={r['ledger_s']}"
            for r in cells
        ] + [
            f"credit {r['uid']} slot {r['slot']} {r['kind']}: "
            f"stored value={r['value']} booked={r['booked']} serves={r['serves']}, "
            f"ledger value={r['due_value']} booked={r['due_booked']} serves={r['due_serves']}"
            for r in credits
        ]

    async def missing(self, decided: Iterable[bytes], rewarded: Iterable[bytes]) -> int:
        """How many of these acknowledged decisions and rewards, by the decision's uid, the ledger does not have."""
        async with self._database.snapshot() as connection:
            decisions: int = await connection.fetchval(
                _SQL["missing_decisions"], [UUID(bytes=uid) for uid in decided], timeout=600
            )
            rewards: int = await connection.fetchval(
                _SQL["missing_rewards"], [UUID(bytes=uid) for uid in rewarded], timeout=600
            )
        return decisions + rewards

    async def intake(self) -> list[Intake]:
        """What has come of each life of a serving process, by name."""
        async with self._database.connection() as connection:
            return await intake.read(connection)

    async def give_up(self, process: str, first: int, end: int) -> None:
        """Wait no more for the events with these numbers, which are lost; what comes of them after all is folded."""
        async with self._database.connection() as connection:
            await intake.give_up(connection, process, first, end)

    async def quarantine(self, entry_id: str, problem: str, payload: bytes, now_ms: int) -> None:
        """Keep an entry that cannot be folded."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["quarantine"], entry_id, at(now_ms), problem, payload)


def _tokens(batch: Batch) -> list[Token]:
    return (
        [decision.token for decision in batch.decisions]
        + [reward.token for reward in batch.rewards]
        + batch.voids
    )


async def _fold(
    connection: Connection, batch: Batch, tokens: Sequence[Token], now: datetime
) -> FoldResult:
    await connection.execute(_SQL["prepare"])
    experiments = sorted({token.experiment for token in tokens})
    await connection.execute(_SQL["share"], experiments)
    batch_no: int = await connection.fetchval(_SQL["next_batch"])
    await connection.copy_records_to_table(
        "incoming_decision", records=_decision_records(batch, batch_no), columns=_DECISION_COLUMNS
    )
    changes: defaultdict[_Cell, list[int]] = defaultdict(lambda: [0, 0])
    *serves, total = await connection.fetch(_SQL["merge_decisions"], batch_no)
    _collect(changes, 0, serves, "n")
    voided = sorted({UUID(bytes=token.uid) for token in batch.voids})
    if voided:
        _collect(changes, 0, await connection.fetch(_SQL["void"], voided, batch_no), "n")
    rewards = await _book_rewards(connection, batch.rewards, batch_no)
    if batch.rewards or voided:
        concerned = sorted({UUID(bytes=r.token.uid) for r in batch.rewards}.union(voided))
        credited = await connection.fetch(_SQL["recompute_credits"], concerned)
        _collect(changes, 0, credited, "n")
        _collect(changes, 1, credited, "s")
    deltas = {cell: (n, s) for cell, (n, s) in sorted(changes.items()) if n or s}
    await _add_to_posterior(connection, deltas)
    await _store_minutes(connection, batch.minutes, now)
    advanced = await _advance(connection, experiments, batch_no, now, deltas)
    await intake.add(connection, batch.spans, now)
    return FoldResult(advanced, total["n"], rewards)


def _collect(
    changes: defaultdict[_Cell, list[int]], place: int, rows: list[asyncpg.Record], column: str
) -> None:
    for row in rows:
        cell = (row["experiment_id"], row["policy"], row["arm_no"], row["hour"])
        changes[cell][place] += row[column]


async def _book_rewards(connection: Connection, rewards: Sequence[Reward], batch_no: int) -> int:
    if not rewards:
        return 0
    await connection.copy_records_to_table(
        "incoming_reward",
        records=[_reward_record(r, batch_no) for r in rewards],
        columns=_REWARD_COLUMNS,
    )
    status: str = await connection.execute(_SQL["insert_rewards"])
    return int(status.rsplit(" ", 1)[1])


async def _add_to_posterior(
    connection: Connection, deltas: Mapping[_Cell, tuple[int, int]]
) -> None:
    if deltas:
        rows = [(*cell, n, s) for cell, (n, s) in deltas.items()]
        await connection.execute(_SQL["add_to_posterior"], *map(list, zip(*rows, strict=True)))


async def _store_minutes(
    connection: Connection, minutes: Sequence[ServingMinute], now: datetime
) -> None:
    settled = latency.settled_hour(now)
    late = {(m.experiment, m.policy, m.minute // 60) for m in minutes if m.minute // 60 < settled}
    if late:
        await connection.execute(_SQL["keep_hours"])
        columns = map(list, zip(*sorted(late), strict=True))
        await connection.execute(_SQL["drop_hours"], *columns)
    keyed = [((m.experiment, m.policy, m.minute, m.process, m.sequence), m) for m in minutes]
    await connection.executemany(
        _SQL["store_minute"],
        [
            (*key, m.calls, m.errors, m.over_100ms, m.over_120ms, m.sketch, m.rewards, m.refused)
            for key, m in sorted(keyed, key=itemgetter(0))
        ],
    )


async def _advance(
    connection: Connection,
    experiments: Sequence[int],
    batch_no: int,
    now: datetime,
    changes: Iterable[_Cell],
) -> dict[int, int]:
    cells = sorted({(experiment, arm * 8 + policy) for experiment, policy, arm, _ in changes})
    await connection.execute(_SQL["lock_heads"], experiments)
    advanced = await connection.fetch(
        _SQL["advance_heads"],
        experiments,
        batch_no,
        now,
        [experiment for experiment, _ in cells],
        [cell for _, cell in cells],
    )
    return {row["experiment_id"]: row["fold_no"] for row in advanced}


def _decision_records(batch: Batch, batch_no: int) -> list[tuple[object, ...]]:
    """One record for each uid: the full decision where the batch has it, else a stub."""
    stubs = {token.uid: token for token in _tokens(batch)}
    full = {decision.token.uid: decision for decision in batch.decisions}
    records = [_facts(token, batch_no, None) for uid, token in stubs.items() if uid not in full]
    records += [_facts(decision.token, batch_no, decision) for decision in full.values()]
    return records


def _facts(token: Token, batch_no: int, decision: Decision | None) -> tuple[object, ...]:
    known = (
        UUID(bytes=token.uid),
        at(uid_ms(token.uid)),
        token.experiment,
        token.allocation_epoch,
        token.assigned,
        token.acting,
        token.reason,
        token.learn_slots,
        token.unit_hash,
        token.cohort,
        token.arms,
        batch_no,
        decision is None,
    )
    if decision is None:
        return (*known, *(None,) * 14)
    return (
        *known,
        decision.config_no,
        decision.pub_no,
        decision.kernel,
        decision.unit,
        decision.bucket,
        decision.candidates,
        decision.weights,
        decision.totals,
        decision.attributes,
        decision.request_id,
        decision.unlisted,
        decision.candidates_hash or None,
        decision.all_arms or None,
        decision.withheld or None,
    )


def _reward_record(reward: Reward, batch_no: int) -> tuple[object, ...]:
    return (
        UUID(bytes=reward.token.uid),
        UUID(bytes=reward.reward_uid),
        at(uid_ms(reward.reward_uid)),
        at(reward.occurred_ms),
        reward.token.experiment,
        reward.slot,
        reward.kind,
        reward.reward_id,
        reward.source,
        reward.value,
        reward.credit_micro,
        reward.feeds,
        reward.retract,
        reward.status,
        batch_no,
    )
