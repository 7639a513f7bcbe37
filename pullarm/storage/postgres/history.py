"""The past as the ledger has it: any decision, and what was published for it, to the last integer."""

from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from struct import iter_unpack, pack, pack_into
from typing import NamedTuple
from uuid import UUID

import msgspec
from asyncpg import Record

from pullarm.domain.admission import Forced
from pullarm.domain.assignment import MICRO
from pullarm.domain.decision import uid_ms
from pullarm.domain.errors import NotFound
from pullarm.domain.experiment import POLICY_NUMBERS, Arm, ArmStatus, Experiment, Spec, State
from pullarm.domain.history import Logged
from pullarm.domain.publication import Head, Published, warmed
from pullarm.domain.weighting import Weighting, published
from pullarm.storage.postgres import weightings
from pullarm.storage.postgres.database import Connection, Database, queries
from pullarm.storage.postgres.experiments import read_experiment
from pullarm.storage.postgres.horizon import horizon, sealed
from pullarm.storage.postgres.publications import CELL
from pullarm.storage.postgres.rows import decision_of, reward_of, token_of
from pullarm.storage.postgres.seats import read_seats
from pullarm.storage.postgres.times import at, ms

_SQL = queries("history")
_PAIR = "<qq"
_PAIR_BYTES = 16
_STEPS = 16
"""How many posteriors are kept to go on from: servers are not all at the same one."""
_VERSIONS = 4

Posterior = dict[tuple[int, int], tuple[int, int]]
"""(policy, arm) -> (serves, rewards in millionths), without cells of zeros."""


class PostgresHistory:
    """Reads the ledger back."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def logged(self, uid: bytes) -> Logged:
        """One decision by its uid; raises NotFound."""
        async with self._database.snapshot() as connection:
            row = await connection.fetchrow(_SQL["decision"], UUID(bytes=uid))
            rewards = await connection.fetch(_SQL["rewards"], UUID(bytes=uid))
            reaches = await sealed(connection)
            erased = row is not None and await connection.fetchval(
                _SQL["erased"], row["experiment_id"], row["unit_hash"]
            )
        if row is None:
            made_on = at(uid_ms(uid)).date()
            if reaches.until and made_on <= reaches.until:
                raise NotFound(
                    f"decision {uid.hex()} was made on {made_on}, and retention removed the days up to {reaches.until}"
                )
            raise NotFound(
                f"the ledger has no decision {uid.hex()}; "
                "a decision is in it once a worker has folded it, so look whether one runs, and try again"
            )
        token = token_of(row)
        decision = None if row["stub"] else decision_of(row, token)
        return Logged(
            token, decision, row["voided"], tuple(reward_of(r, token) for r in rewards), erased
        )

    async def posterior(self, experiment: int, fold_no: int) -> Posterior:
        """The posterior right after a fold: the checkpoint before it and the rows of the folds since."""
        async with self._database.snapshot() as connection:
            return await _posterior(connection, experiment, fold_no)

    async def published(self, experiment: int, pub_no: int) -> Published:
        """A publication as serving read it.

        Of the experiment, started_at, end_at and payload hashes are today's; `halt` is the stop or rollback that came
        next, which serving may have obeyed already. Raises NotFound.
        """
        async with self._database.snapshot() as connection:
            return await Publications(experiment).read(connection, pub_no)

    async def publications(
        self, experiment: int, numbers: Iterable[int]
    ) -> AsyncIterator[Published]:
        """Each as `published`; in ascending order, they cost little more than the folds between them."""
        reader = Publications(experiment)
        for number in numbers:
            async with self._database.snapshot() as connection:
                found = await reader.read(connection, number)
            yield found


class _Step(NamedTuple):
    """The sums of hours at a fold, which later ones are worked out from: not rounded."""

    life: str
    weighting_no: int
    fold_no: int
    sums: Mapping[tuple[int, int], tuple[int, int]]


class Publications:
    """Reads publications of one experiment; one after another costs little more than the folds between them.

    What is kept of those before is of the life of the ledger that they name, so a ledger that is put back meanwhile
    does no harm.
    """

    def __init__(self, experiment: int) -> None:
        self._experiment = experiment
        self._versions: dict[tuple[str, int], tuple[Experiment, State | None]] = {}
        self._steps: deque[_Step] = deque(maxlen=_STEPS)

    async def read(self, connection: Connection, pub_no: int) -> Published:
        """As `PostgresHistory.published`."""
        experiment = self._experiment
        row = await connection.fetchrow(_SQL["publication"], experiment, pub_no)
        if row is None:
            if await horizon(connection, experiment):
                raise _beyond(f"publication {pub_no}", experiment)
            raise NotFound(
                f"the ledger has no publication {pub_no} of experiment {experiment}; "
                "was it restored to an earlier state?"
            )
        life = str(row["incarnation"])
        then, halt = await self._version(connection, life, row["config_no"])
        weighting = await weightings.read(connection, experiment, row["weighting_no"])
        posterior = await self._posterior(connection, life, row["fold_no"], weighting)
        return Published(
            head=Head(
                incarnation=life,
                pub_no=pub_no,
                fold_no=row["fold_no"],
                config_no=row["config_no"],
                as_of_ms=ms(row["as_of"]),
                grid_no=row["grid_no"],
                kernel=row["kernel"],
                arms=len(then.arms),
            ),
            experiment=then,
            posteriors=_vectors(posterior, then.arms),
            grid=row["points"],
            halt=halt,
            weighting=weighting,
        )

    async def _version(
        self, connection: Connection, life: str, config_no: int
    ) -> tuple[Experiment, State | None]:
        if (life, config_no) not in self._versions:
            revision = await connection.fetchrow(_SQL["revision"], self._experiment, config_no)
            assert revision is not None  # versions are append-only, and publications read them
            today = await read_experiment(connection, self._experiment)
            statuses = await connection.fetch(_SQL["statuses"], self._experiment, config_no)
            halt = State(revision["halt"]) if revision["halt"] else None
            then = _as_revised(today, config_no, revision, statuses)
            self._versions[life, config_no] = then, halt
            if len(self._versions) > _VERSIONS:
                del self._versions[next(iter(self._versions))]
            return then, halt
        return self._versions[life, config_no]

    async def _posterior(
        self, connection: Connection, life: str, fold_no: int, weighting: Weighting | None
    ) -> Posterior:
        """As published after a fold under these weights: serves in millionths as well."""
        number = weighting.number if weighting else 0
        since, found = await _checkpoint(connection, self._experiment, fold_no, weighting)
        # A rebuild leaves a checkpoint, so that no step is taken across one.
        same = [step for step in self._steps if (step.life, step.weighting_no) == (life, number)]
        nearer = [step for step in same if since < step.fold_no <= fold_no]
        if nearer:
            nearest = max(nearer, key=lambda step: step.fold_no)
            since, found = nearest.fold_no, dict(nearest.sums)
        for policy, arm, hour, n, s in await _brought(connection, self._experiment, since, fold_no):
            one, other = found.get((policy, arm), (0, 0))
            more = weighting.sums(policy, hour, n, s) if weighting else (n, s)
            found[policy, arm] = one + more[0], other + more[1]
        self._steps.append(_Step(life, number, fold_no, found))
        if weighting is None:
            return {cell: (n * MICRO, s) for cell, (n, s) in found.items()}
        return {cell: published(*sums) for cell, sums in found.items()}


async def add_checkpoint(connection: Connection, experiment: int, fold_no: int) -> None:
    """Keep the posterior right after a fold, so that later ones need no row that came before."""
    posterior = await _posterior(connection, experiment, fold_no)
    cells = b"".join(pack(CELL, *cell, *sums) for cell, sums in sorted(posterior.items()))
    await connection.execute(_SQL["add_checkpoint"], experiment, fold_no, cells)


async def _posterior(connection: Connection, experiment: int, fold_no: int) -> Posterior:
    since, sums = await _checkpoint(connection, experiment, fold_no, None)
    for policy, arm, _, serves, rewards in await _brought(connection, experiment, since, fold_no):
        n, s = sums.get((policy, arm), (0, 0))
        sums[policy, arm] = n + serves, s + rewards
    return {cell: found for cell, found in sums.items() if any(found)}


async def _checkpoint(
    connection: Connection, experiment: int, fold_no: int, weighting: Weighting | None
) -> tuple[int, Posterior]:
    """The newest checkpoint up to a fold, and its fold: settled and pending sums where hours are weighted."""
    if weighting is not None:
        return await weightings.checkpoint(connection, experiment, weighting.number, fold_no)
    row = await connection.fetchrow(_SQL["checkpoint"], experiment, fold_no)
    if row is None:
        return 0, {}
    cells = iter_unpack(CELL, row["cells"])
    return row["fold_no"], {(policy, arm): (n, s) for policy, arm, n, s in cells}


async def _brought(
    connection: Connection, experiment: int, since: int, fold_no: int
) -> list[tuple[int, int, int, int, int]]:
    """(policy, arm, hour, serves, rewards in millionths) that the folds after `since` added.

    Raises NotFound where retention has removed rows of them.
    """
    if since < await horizon(connection, experiment):
        raise _beyond(f"the posterior after fold {fold_no}", experiment)
    await connection.execute(_SQL["prepare"])
    rows = await connection.fetch(_SQL["brought"], experiment, since, fold_no)
    return [(r["policy"], r["arm_no"], r["hour"], r["n"], r["s"]) for r in rows]


def _beyond(what: str, experiment: int) -> NotFound:
    return NotFound(
        f"{what} of experiment {experiment} cannot be worked out any more: retention removed rows that it was made of. "
        "What was decided within an attribution window after a removed day is not explained either"
    )


def _as_revised(
    today: Experiment, config_no: int, revision: Record, statuses: Sequence[Record]
) -> Experiment:
    moved = {row["arm_no"]: ArmStatus(row["status"]) for row in statuses}
    return replace(
        today,
        config_no=config_no,
        state=State(revision["state"]),
        spec=msgspec.convert(revision["spec"], Spec),
        allocation_epoch=revision["allocation_epoch"],
        guard_epoch=revision["guard_epoch"],
        buckets=revision["buckets"],
        seats=read_seats(revision),
        forced=msgspec.convert(revision["forced"], tuple[Forced, ...]),
        arms=tuple(
            replace(arm, status=moved.get(arm.arm_no, ArmStatus.ACTIVE))
            for arm in today.arms[: revision["arms"]]
        ),
        cohorts=today.cohorts[: revision["cohorts"]],
        updated_at=revision["at"],
    )


def _vectors(posterior: Posterior, arms: Sequence[Arm]) -> dict[int, bytes]:
    vectors = {policy: bytearray(len(arms) * _PAIR_BYTES) for policy in POLICY_NUMBERS.values()}
    cells = [(*cell, *found) for cell, found in posterior.items()]
    for policy, arm, serves, rewards in warmed(cells, arms):
        if 0 < arm <= len(arms):
            pack_into(_PAIR, vectors[policy], (arm - 1) * _PAIR_BYTES, serves, rewards)
    return {policy: bytes(vector) for policy, vector in vectors.items()}
