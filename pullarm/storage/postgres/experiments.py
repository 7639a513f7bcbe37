"""Experiments, their arms and their history."""

from collections.abc import Sequence

import asyncpg
import msgspec

from pullarm.domain import cohorts
from pullarm.domain.admission import Forced
from pullarm.domain.alert import of_rollback
from pullarm.domain.arms import first_seen
from pullarm.domain.audit import Author
from pullarm.domain.cohorts import Cohort, Seen
from pullarm.domain.errors import NotFound, VersionMismatch, invalid
from pullarm.domain.experiment import Arm, ArmStatus, Experiment, Spec, State
from pullarm.domain.ports import REGISTRAR, NewExperiment, Revision
from pullarm.domain.transitions import difference
from pullarm.storage.postgres import alerts
from pullarm.storage.postgres.database import Connection, Database, queries
from pullarm.storage.postgres.seats import find_seats, read_seats
from pullarm.storage.postgres.times import at
from pullarm.storage.postgres.trail import record

_SQL = queries("experiments")


class PostgresExperiments:
    """The experiment store in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, draft: NewExperiment, now_ms: int) -> Experiment:
        """Store a draft; raises InvalidInput where its key is taken, or its group has no room for it."""
        async with self._database.transaction() as connection:
            seats = await find_seats(connection, draft.spec, None, ())
            try:
                row = await connection.fetchrow(
                    _SQL["create"],
                    draft.id,
                    draft.key,
                    msgspec.to_builtins(draft.spec),
                    draft.spec.reward.aggregation.value,
                    draft.spec.reward.exposure.value,
                    draft.salt,
                    draft.buckets,
                    at(now_ms),
                    msgspec.to_builtins(seats),
                )
            except asyncpg.UniqueViolationError as error:
                raise invalid("key", f"{draft.key!r} is taken by another experiment") from error
            assert row is not None  # RETURNING after an INSERT that did not raise
            number: int = row["experiment_id"]
            await connection.execute(_SQL["create_head"], number)
            await _write_arms(connection, row, (), draft.arms)
            told_apart = await _declare_cohorts(connection, row)
            created = _experiment(row, draft.arms, told_apart)
            await note_version(
                connection, draft.action, draft.author, created, None, draft.cloned_from
            )
            return created

    async def skip_numbers(self, upto: int) -> None:
        """Give out no experiment number up to this one."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["skip_numbers"], upto)

    async def get(self, reference: str) -> Experiment:
        """By id or key; raises NotFound."""
        async with self._database.snapshot() as connection:
            row = await connection.fetchrow(_SQL["by_reference"], reference)
            if row is None:
                raise NotFound(f"there is no experiment {reference!r}")
            return await _whole(connection, row)

    async def all(self) -> list[Experiment]:
        """All, newest first, without their arms and cohorts."""
        async with self._database.connection() as connection:
            return [_experiment(row, (), ()) for row in await connection.fetch(_SQL["list"])]

    async def due(self, now_ms: int) -> list[tuple[str, str]]:
        """(id, action) of what the schedules of experiments have owed up to now, oldest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["due"], at(now_ms))
        return [(row["id"], row["action"]) for row in rows]

    async def revise(self, experiment: Experiment, change: Revision, now_ms: int) -> Experiment:
        """Store a new version of exactly the given one; raises VersionMismatch when it is no longer the newest,
        InvalidInput where its group has no room for it.
        """
        before, spec = experiment.spec, change.spec
        forced = experiment.forced if change.forced is None else change.forced
        seats = experiment.seats
        async with self._database.transaction() as connection:
            if (before.group, before.group_share) != (spec.group, spec.group_share):
                seats = await find_seats(connection, spec, experiment.number, seats)
            row = await connection.fetchrow(
                _SQL["revise"],
                experiment.number,
                experiment.config_no,
                change.state.value,
                msgspec.to_builtins(change.spec),
                change.buckets,
                change.allocation_epoch,
                change.guard_epoch,
                at(now_ms),
                msgspec.to_builtins(seats),
                msgspec.to_builtins(forced),
            )
            if row is None:
                raise VersionMismatch
            arms = experiment.arms if change.arms is None else change.arms
            await _write_arms(connection, row, experiment.arms, arms)
            revised = _experiment(row, arms, await _declare_cohorts(connection, row))
            await note_version(connection, change.action, change.author, revised, experiment)
            if change.action == "rollback":
                await alerts.put(connection, of_rollback(revised, _why(change.author)), at(now_ms))
            return revised

    async def register_arms(self, number: int, arm_ids: Sequence[str], now_ms: int) -> int:
        """Make first-seen candidates arms of an open catalogue, up to its max_arms; how many were new."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_SQL["lock"], number)
            if row is None:
                return 0
            spec = msgspec.convert(row["spec"], Spec)
            known = {
                r["arm_id"] for r in await connection.fetch(_SQL["known_arms"], number, arm_ids)
            }
            counted = await connection.fetchrow(_SQL["count_arms"], number)
            assert counted is not None  # an aggregate has one row
            arms = first_seen(arm_ids, spec, known=known, **dict(counted))
            if arms:
                before = _experiment(row, (), ())
                row = await connection.fetchrow(_SQL["touch"], number, at(now_ms))
                assert row is not None  # locked above
                await _write_arms(connection, row, (), arms)
                grown = _experiment(row, tuple(arms), ())
                await note_version(connection, "register_arms", REGISTRAR, grown, before)
            return len(arms)

    async def register_cohorts(self, number: int, seen: Sequence[Seen], now_ms: int) -> int:
        """Number first-seen values of the attribute that makes cohorts, up to its max_values; how many were new."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_SQL["lock"], number)
            if row is None:
                return 0
            before = _experiment(row, (), await _cohorts(connection, number))
            added = cohorts.first_seen(seen, before.spec.cohorts, before.cohorts)
            if added:
                row = await connection.fetchrow(_SQL["touch"], number, at(now_ms))
                assert row is not None  # locked above
                await _add_cohorts(connection, row, added)
                grown = _experiment(row, (), before.cohorts + added)
                await note_version(connection, "register_cohorts", REGISTRAR, grown, before)
            return len(added)


def _why(author: Author) -> str:
    return f"{author.note or 'no reason was given'} (by {author.actor}, {author.origin})"


async def read_experiment(connection: Connection, number: int) -> Experiment:
    """One experiment with its arms, within the caller's transaction."""
    row = await connection.fetchrow(_SQL["by_number"], number)
    if row is None:
        raise NotFound(f"there is no experiment number {number}")
    return await _whole(connection, row)


async def _whole(connection: Connection, row: asyncpg.Record) -> Experiment:
    number: int = row["experiment_id"]
    return _experiment(row, await _arms(connection, number), await _cohorts(connection, number))


async def _cohorts(connection: Connection, number: int) -> tuple[Cohort, ...]:
    rows = await connection.fetch(_SQL["cohorts"], number)
    return tuple(Cohort(**row) for row in rows)


async def _declare_cohorts(
    connection: Connection, experiment: asyncpg.Record
) -> tuple[Cohort, ...]:
    """Number the values that this version lists; answers all cohorts. Raises InvalidInput where numbers run out."""
    before = await _cohorts(connection, experiment["experiment_id"])
    after = cohorts.declared(msgspec.convert(experiment["spec"], Spec).cohorts, before)
    await _add_cohorts(connection, experiment, after[len(before) :])
    return after


async def _add_cohorts(
    connection: Connection, experiment: asyncpg.Record, added: Sequence[Cohort]
) -> None:
    version = experiment["experiment_id"], experiment["config_no"]
    rows = [(*version, each.cohort_no, each.attribute, each.value) for each in added]
    await connection.executemany(_SQL["add_cohort"], rows)


async def note_version(
    connection: Connection,
    action: str,
    author: Author,
    became: Experiment,
    was: Experiment | None,
    cloned_from: str = "",
) -> None:
    """Keep a new version in the experiment's history, and in the audit trail what it changed."""
    await connection.execute(_SQL["add_revision"], became.number, action, author.actor)
    before, after = difference(was, became)
    await record(
        connection,
        author,
        became.updated_at,
        action,
        (before, {"cloned_from": cloned_from, **after} if cloned_from else after),
        experiment=became.number,
        config_no=became.config_no,
    )


async def _arms(connection: Connection, number: int) -> tuple[Arm, ...]:
    rows = await connection.fetch(_SQL["arms"], number)
    return tuple(
        Arm(
            arm_no=row["arm_no"],
            arm_id=row["arm_id"],
            label=row["label"],
            version=row["version"],
            payload_hash=row["payload_hash"],
            status=ArmStatus(row["status"]),
            prior_serves_micro=row["prior_serves"],
            prior_rewards_micro=row["prior_rewards"],
        )
        for row in rows
    )


async def _write_arms(
    connection: Connection, experiment: asyncpg.Record, before: Sequence[Arm], after: Sequence[Arm]
) -> None:
    """Write what is new or changed in this version; `before` are the first ones of `after`, by number."""
    version = experiment["experiment_id"], experiment["config_no"]
    changed = [arm for arm, was in zip(after, before, strict=False) if arm != was]
    added = after[len(before) :]
    if changed:  # ahead of the new ones, because of one id no two versions may be shown
        changes = [(arm.arm_no, arm.status.value, arm.payload_hash, arm.label) for arm in changed]
        await connection.execute(_SQL["change_arms"], version[0], *zip(*changes, strict=True))
    if added:
        records = [
            (
                *(arm.arm_no, arm.arm_id, arm.label, arm.version, arm.payload_hash),
                *(arm.status.value, arm.prior_serves_micro, arm.prior_rewards_micro),
            )
            for arm in added
        ]
        await connection.execute(_SQL["add_arms"], *version, *zip(*records, strict=True))
    was = {arm.arm_no: arm.status for arm in before}  # a new arm is active unless it is moved
    moved = [
        arm for arm in (*changed, *added) if arm.status is not was.get(arm.arm_no, ArmStatus.ACTIVE)
    ]
    if moved:
        numbers, became = [arm.arm_no for arm in moved], [arm.status.value for arm in moved]
        await connection.execute(_SQL["add_statuses"], *version, numbers, became)


def _experiment(
    row: asyncpg.Record, arms: tuple[Arm, ...], told_apart: tuple[Cohort, ...]
) -> Experiment:
    return Experiment(
        number=row["experiment_id"],
        id=row["id"],
        key=row["key"],
        state=State(row["state"]),
        spec=msgspec.convert(row["spec"], Spec),
        config_no=row["config_no"],
        allocation_epoch=row["allocation_epoch"],
        guard_epoch=row["guard_epoch"],
        salt=row["salt"],
        buckets=row["buckets"],
        arms=arms,
        seats=read_seats(row),
        forced=msgspec.convert(row["forced"], tuple[Forced, ...]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        started_at=row["started_at"],
        end_at=row["end_at"],
        cohorts=told_apart,
    )
