"""Rebuilds: the posterior made anew from the ledger, with rows left out or taken in again.

The long part, reading the whole ledger of the experiment and most of what was folded meanwhile, goes beside the folds.
Only then does a rebuild hold them up, to read the last of it and to swap what differs, as a fold of its own kind.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from time import monotonic
from typing import Any, NamedTuple

from pullarm.domain.assignment import MICRO
from pullarm.domain.audit import Author
from pullarm.domain.errors import Conflict, NotFound
from pullarm.domain.experiment import POLICY_NAMES
from pullarm.domain.rebuild import Exclusion, PastRebuild, Rebuilt, Restoration, Sums
from pullarm.domain.weighting import WHOLE, published
from pullarm.storage.postgres import weightings
from pullarm.storage.postgres.database import Connection, Database, queries
from pullarm.storage.postgres.horizon import sealed
from pullarm.storage.postgres.publications import keep_checkpoint
from pullarm.storage.postgres.trail import record

_SQL = queries("repair")
_HISTORY = queries("history")
FEW_FOLDS = 10
"""So many, about a second's, may be left to be read while folds wait."""


class PostgresRepair:
    """Rebuilds posteriors."""

    def __init__(self, database: Database, *, few_folds: int = FEW_FOLDS) -> None:
        self._database = database
        self._few_folds = few_folds

    async def preview(self, experiment: int, change: Exclusion | Restoration) -> Rebuilt:
        """What a rebuild would change now; changes nothing. Raises as `rebuild` does."""
        async with self._database.connection() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                return (await _stage(connection, experiment, change)).rebuilt
            finally:
                await transaction.rollback()

    async def rebuild(
        self, experiment: int, change: Exclusion | Restoration, author: Author, now: datetime
    ) -> Rebuilt:
        """Make the posterior anew under an exclusion, or without an earlier one, and swap it in.

        Raises Conflict while another rebuild of the experiment is under way or where the earlier exclusion was lifted
        before, NotFound where there is none.
        """
        async with self._database.transaction() as connection:
            staged = await _stage(connection, experiment, change)
            since = await _nearly_caught_up(connection, staged, self._few_folds)
            await connection.execute(_SQL["hold"], experiment)
            held_s = monotonic()
            fold_no = await _swap(connection, staged, since, now)
            await _record(connection, staged, fold_no, author, now)
        return replace(staged.rebuilt, held_ms=round((monotonic() - held_s) * 1_000))

    async def past(self, experiment: int) -> list[PastRebuild]:
        """Every rebuild of an experiment, oldest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["past"], experiment)
        return [
            PastRebuild(
                rebuild_no=row["rebuild_no"],
                fold_no=row["fold_no"],
                at=row["at"],
                actor=row["actor"],
                note=row["note"],
                source=row["source"],
                from_at=row["from_at"],
                to_at=row["to_at"],
                folds=None
                if row["after_fold"] is None
                else (row["after_fold"] + 1, row["upto_fold"]),
                restored=row["restored"],
                lifted_fold=row["lifted_fold"],
            )
            for row in rows
        ]


class _Staged(NamedTuple):
    """A rebuild worked out in temporary tables, as of the fold that `rebuilt` names."""

    experiment: int
    change: Exclusion | Restoration
    rebuilt: Rebuilt


async def _stage(
    connection: Connection, experiment: int, change: Exclusion | Restoration
) -> _Staged:
    await connection.execute(_SQL["prepare"])
    if not await connection.fetchval(_SQL["alone"], experiment):
        raise Conflict("another rebuild of this experiment is under way; try again once it is done")
    numbers = await connection.fetchrow(_SQL["numbers"], experiment)
    assert numbers is not None  # made together with the experiment
    if isinstance(change, Restoration):
        await _lift(connection, experiment, change.rebuild_no)
    elif not change.empty:
        await _exclude(connection, experiment, change, numbers["rebuild_no"], numbers["fold_no"])
    # Not of one moment: what is touched after the first look is worked out again under the lock, credits as well.
    fold_no: int = await connection.fetchval(_SQL["stage"], experiment)
    credits: str = await connection.execute(_SQL["stage_credits"], experiment)
    weighting = await weightings.newest(connection, experiment) or WHOLE
    found = await connection.fetch(_SQL["difference"], *weightings.columns(weighting))
    cells = {(row["policy"], row["arm_no"]): row for row in found}
    rebuilt = Rebuilt(
        rebuild_no=numbers["rebuild_no"],
        fold_no=fold_no,
        before={cell: (row["was_n"], row["was_s"]) for cell, row in cells.items()},
        after={cell: (row["n"], row["s"]) for cell, row in cells.items()},
        weighed_before={
            cell: published(int(row["was_settled"]), int(row["was_pending"]))
            for cell, row in cells.items()
        },
        weighed_after={
            cell: published(int(row["settled"]), int(row["pending"])) for cell, row in cells.items()
        },
        credits=int(credits.rsplit(" ", 1)[1]),
    )
    return _Staged(experiment, change, rebuilt)


async def _exclude(
    connection: Connection, experiment: int, exclusion: Exclusion, number: int, head: int
) -> None:
    removed = (await sealed(connection)).removed
    begins = [moment for moment in (exclusion.from_at, exclusion.until) if moment is not None]
    if removed and begins and min(begins).astimezone(UTC).date() <= removed:
        raise Conflict(
            f"retention removed the days up to {removed}: what a rebuild leaves out has to begin after it"
        )
    after_fold = upto_fold = None
    if exclusion.until is not None:
        upto_fold = head
        after_fold = await connection.fetchval(
            _SQL["last_fold_before"], experiment, exclusion.until
        )
    await connection.execute(
        _SQL["exclude"],
        experiment,
        number,
        exclusion.source,
        exclusion.from_at,
        exclusion.to_at,
        after_fold,
        upto_fold,
    )


async def _lift(connection: Connection, experiment: int, number: int) -> None:
    found = await connection.fetchrow(_SQL["lifted"], experiment, number)
    if found is None:
        raise NotFound(f"no rebuild {number} of this experiment left anything out; see --list")
    if found["lifted_fold"] is not None:
        raise Conflict(f"what rebuild {number} left out was restored before; see --list")
    await connection.execute(_SQL["lift"], experiment, number)


async def _nearly_caught_up(connection: Connection, staged: _Staged, few: int) -> int:
    """Bring what is staged up to date beside the folds, until few are left or they come as fast as they are read.

    Answers as of which fold it is then.
    """
    experiment, since, behind = staged.experiment, staged.rebuilt.fold_no, inf
    head: int = await connection.fetchval(_SQL["numbers"], experiment)
    while few < head - since < behind:
        behind = head - since
        await _catch_up(connection, experiment, since, head)
        since, head = head, await connection.fetchval(_SQL["numbers"], experiment)
    return since


async def _catch_up(connection: Connection, experiment: int, since: int, head: int) -> None:
    """Bring what is staged as of the fold `since` up to date.

    Cells are exactly those of `head`. Credits may hold later rewards as well, whose folds make them anew.
    """
    touched = [row["uid"] for row in await connection.fetch(_SQL["touched"], experiment, since)]
    await connection.execute(_SQL["forget_credits"], touched)
    await connection.execute(_SQL["restage_credits"], touched)
    brought = await connection.fetch(_HISTORY["brought"], experiment, since, head)
    if brought:
        await connection.execute(_SQL["add_cells"], *map(list, zip(*brought, strict=True)))


async def _swap(connection: Connection, staged: _Staged, since: int, now: datetime) -> int:
    """Under the lock: bring what is staged up to date and put it in place; answers the rebuild's fold."""
    experiment = staged.experiment
    head: int = await connection.fetchval(_SQL["numbers"], experiment)
    await keep_checkpoint(connection, experiment, head)
    await _catch_up(connection, experiment, since, head)
    await connection.execute(_SQL["swap_credits"])
    cells = [row["cell"] for row in await connection.fetch(_SQL["swap_cells"], experiment)]
    fold_no: int = await connection.fetchval(
        _SQL["advance"], experiment, now, cells, staged.rebuilt.rebuild_no
    )
    await keep_checkpoint(connection, experiment, fold_no)
    return fold_no


async def _record(
    connection: Connection, staged: _Staged, fold_no: int, author: Author, now: datetime
) -> None:
    change, rebuilt = staged.change, staged.rebuilt
    restored = change.rebuild_no if isinstance(change, Restoration) else None
    await connection.execute(
        _SQL["settle"], staged.experiment, fold_no, rebuilt.rebuild_no, restored
    )
    before = {"fold_no": rebuilt.fold_no, "cells": _cells(rebuilt.before, rebuilt.changed)}
    after = {
        "rebuild_no": rebuilt.rebuild_no,
        "fold_no": fold_no,
        "restored": restored,
        "exclusion": None if isinstance(change, Restoration) else _conditions(change),
        "credits": rebuilt.credits,
        "cells": _cells(rebuilt.after, rebuilt.changed),
    }
    await record(connection, author, now, "rebuild", (before, after), experiment=staged.experiment)


def _conditions(exclusion: Exclusion) -> dict[str, object]:
    return {
        "source": exclusion.source,
        "from_at": exclusion.from_at,
        "to_at": exclusion.to_at,
        "until": exclusion.until,
    }


def _cells(sums: Sums, changed: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
    found = []
    for policy, arm in changed:
        serves, rewards = sums.get((policy, arm), (0, 0))
        found.append(
            {
                "policy": POLICY_NAMES[policy],
                "arm_no": arm,
                "serves": serves,
                "rewards": rewards / MICRO,
            }
        )
    return found
