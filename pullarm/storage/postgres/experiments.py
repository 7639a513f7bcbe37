"""Experiments, their arms and their history."""

from collections.abc import Sequence

import asyncpg
import msgspec

from pullarm.domain.errors import NotFound, VersionMismatch, invalid
from pullarm.domain.experiment import Arm, Catalogue, Experiment, Spec, State
from pullarm.domain.ports import NewExperiment, Revision
from pullarm.storage.postgres.database import Connection, Database, queries
from pullarm.storage.postgres.times import at

_SQL = queries("experiments")


class PostgresExperiments:
    """The experiment store in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, draft: NewExperiment, now_ms: int) -> Experiment:
        """Store a draft; raises InvalidInput where its key is taken."""
        async with self._database.transaction() as connection:
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
                )
            except asyncpg.UniqueViolationError as error:
                raise invalid("key", f"{draft.key!r} is taken by another experiment") from error
            assert row is not None  # RETURNING after an INSERT that did not raise
            number: int = row["experiment_id"]
            await connection.execute(_SQL["create_head"], number)
            await connection.execute(_SQL["add_revision"], number, "create", "")
            await _add_arms(connection, number, draft.arms, config_no=1)
            return _experiment(row, draft.arms)

    async def get(self, reference: str) -> Experiment:
        """By id or key; raises NotFound."""
        async with self._database.snapshot() as connection:
            row = await connection.fetchrow(_SQL["by_reference"], reference)
            if row is None:
                raise NotFound(f"there is no experiment {reference!r}")
            return _experiment(row, await _arms(connection, row["experiment_id"]))

    async def all(self) -> list[Experiment]:
        """All, newest first, without their arms."""
        async with self._database.connection() as connection:
            return [_experiment(row, ()) for row in await connection.fetch(_SQL["list"])]

    async def revise(self, experiment: Experiment, change: Revision, now_ms: int) -> Experiment:
        """Store a new version of exactly the given one; raises VersionMismatch when it is no longer the newest."""
        async with self._database.transaction() as connection:
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
            )
            if row is None:
                raise VersionMismatch
            await connection.execute(
                _SQL["add_revision"], experiment.number, change.action, change.actor
            )
            return _experiment(row, experiment.arms)

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
            last: int = await connection.fetchval(_SQL["last_arm"], number)
            room = spec.max_arms - last if spec.catalogue is Catalogue.OPEN else 0
            fresh = [arm_id for arm_id in dict.fromkeys(arm_ids) if arm_id not in known]
            arms = [
                Arm(arm_no=arm_no, arm_id=arm_id)
                for arm_no, arm_id in enumerate(fresh[: max(room, 0)], start=last + 1)
            ]
            if arms:
                config_no = await connection.fetchval(_SQL["touch"], number, at(now_ms))
                await _add_arms(connection, number, arms, config_no=config_no)
                await connection.execute(_SQL["add_revision"], number, "register_arms", "worker")
            return len(arms)


async def read_experiment(connection: Connection, number: int) -> Experiment:
    """One experiment with its arms, within the caller's transaction."""
    row = await connection.fetchrow(_SQL["by_number"], number)
    if row is None:
        raise NotFound(f"there is no experiment number {number}")
    return _experiment(row, await _arms(connection, number))


async def _arms(connection: Connection, number: int) -> tuple[Arm, ...]:
    rows = await connection.fetch(_SQL["arms"], number)
    return tuple(Arm(arm_no=r["arm_no"], arm_id=r["arm_id"], label=r["label"]) for r in rows)


async def _add_arms(
    connection: Connection, number: int, arms: Sequence[Arm], *, config_no: int
) -> None:
    await connection.execute(
        _SQL["add_arms"],
        number,
        [arm.arm_no for arm in arms],
        [arm.arm_id for arm in arms],
        [arm.label for arm in arms],
        [config_no] * len(arms),
    )


def _experiment(row: asyncpg.Record, arms: tuple[Arm, ...]) -> Experiment:
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
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        started_at=row["started_at"],
        end_at=row["end_at"],
    )
