"""What the hours of a posterior count at a publication, and the posterior so weighted (pullarm/domain/weighting.py)."""

from dataclasses import replace
from datetime import timedelta
from struct import iter_unpack, pack
from typing import NamedTuple

import msgspec

from pullarm.domain.decision import GRACE_MS, uid_ms
from pullarm.domain.experiment import Delay, Experiment, Spec
from pullarm.domain.weighting import (
    COUNTS_AT_ONCE,
    HOUR_MS,
    Reached,
    Weighting,
    all_reached,
    step,
    weighs,
    weights,
)
from pullarm.statistics import delay
from pullarm.storage.postgres.database import Connection, queries
from pullarm.storage.postgres.times import at, ms

_SQL = queries("weightings")
_CELL = "<qq16s16s"
_OBSERVED = timedelta(days=7)
"""Of how long a time of mature decisions the delays are looked at."""

Sums = dict[tuple[int, int], tuple[int, int]]
"""(policy, arm) -> settled and pending sum, in millionths of millionths."""


class Before(NamedTuple):
    """What the newest publication was made of."""

    weighting_no: int
    config_no: int
    fold_no: int


async def current(
    connection: Connection, experiment: Experiment, before: Before, fold_no: int, as_of_ms: int
) -> Weighting | None:
    """The weighting for a publication of this fold and moment: the newest one's while it holds, else made and kept.

    None where everything counts whole. It holds while its step lasts, and longer while a new one would count all that
    is known alike and nothing comes; not where the configuration weighs otherwise now, nor after a rebuild, because
    delays are learned from the rewards that count.
    """
    now = step(experiment.spec.learning, as_of_ms)
    if now is None:
        return None
    number, (began_ms, until_ms) = experiment.number, now
    newest = await _standing(connection, experiment, before, fold_no)
    if newest is not None and as_of_ms < newest.until_ms:
        return newest
    hours = await connection.fetchrow(_SQL["hours"], number, began_ms // HOUR_MS)
    assert hours is not None  # an aggregate has one row
    reached = await _reached(connection, experiment, as_of_ms)
    points = weights(experiment.spec, began_ms, until_ms, hours["first"], reached)
    made = Weighting(number=0, as_of_ms=began_ms, until_ms=until_ms, points=points)
    if newest is not None and fold_no == before.fold_no and made.like(newest, hours["last"]):
        await connection.execute(_SQL["extend"], number, newest.number, at(until_ms))
        return replace(newest, until_ms=until_ms)
    numbered: int = await connection.fetchval(
        _SQL["add"], number, at(began_ms), at(until_ms), made.to_bytes()
    )
    return replace(made, number=numbered)


async def _standing(
    connection: Connection, experiment: Experiment, before: Before, fold_no: int
) -> Weighting | None:
    """The newest publication's weighting, as far as its time is not considered; None where it does not hold."""
    weighting = await read(connection, experiment.number, before.weighting_no)
    if weighting is None:
        return None
    if before.fold_no != fold_no:
        step_ms = step(experiment.spec.learning, weighting.as_of_ms)
        extended = step_ms is None or weighting.until_ms > step_ms[1]
        if extended or await connection.fetchval(
            _SQL["rebuilt"], experiment.number, before.fold_no
        ):
            return None
    if before.config_no != experiment.config_no:
        row = await connection.fetchrow(_SQL["spec"], experiment.number, before.config_no)
        if row is None or weighs(msgspec.convert(row["spec"], Spec)) != weighs(experiment.spec):
            return None
    return weighting


async def read(connection: Connection, experiment: int, weighting_no: int) -> Weighting | None:
    """A weighting by its number; None for 0."""
    row = await connection.fetchrow(_SQL["read"], experiment, weighting_no)
    if row is None:
        return None
    return Weighting.from_bytes(weighting_no, ms(row["as_of"]), ms(row["until"]), row["points"])


async def newest(connection: Connection, experiment: int) -> Weighting | None:
    """That of the newest publication; None where everything counts whole."""
    number = await connection.fetchval(_SQL["newest"], experiment)
    return await read(connection, experiment, number) if number else None


def columns(weighting: Weighting) -> list[object]:
    """As SQL takes it: hours, then what counts from each on (kept, settled, pending), and for whom both count kept."""
    return [*map(list, zip(*weighting.points, strict=True)), COUNTS_AT_ONCE]


async def sums(
    connection: Connection, experiment: int, weighting: Weighting, since: int | None = None
) -> Sums:
    """The posterior under these weights: every cell, or those changed by the folds after `since`."""
    given = [experiment, *columns(weighting)]
    rows = (
        await connection.fetch(_SQL["all_sums"], *given)
        if since is None
        else await connection.fetch(_SQL["changed_sums"], *given, since)
    )
    return {(r["policy"], r["arm_no"]): (int(r["settled"]), int(r["pending"])) for r in rows}


async def checkpoint_due(connection: Connection, experiment: int, weighting_no: int) -> bool:
    """Whether there is a checkpoint of the posterior newer than any under this weighting, or none under it."""
    return bool(await connection.fetchval(_SQL["checkpoint_due"], experiment, weighting_no))


async def add_checkpoint(
    connection: Connection, experiment: int, weighting_no: int, fold_no: int, cells: Sums
) -> None:
    """Keep all sums of a fold."""
    packed = b"".join(
        pack(_CELL, *cell, *(each.to_bytes(16, "little", signed=True) for each in found))
        for cell, found in cells.items()
    )
    await connection.execute(_SQL["add_checkpoint"], experiment, weighting_no, fold_no, packed)


async def checkpoint(
    connection: Connection, experiment: int, weighting_no: int, fold_no: int
) -> tuple[int, Sums]:
    """The newest checkpoint under this weighting up to a fold, and its fold.

    There is one for every publication: the first under a weighting brings it.
    """
    row = await connection.fetchrow(_SQL["checkpoint"], experiment, weighting_no, fold_no)
    assert row is not None
    found: Sums = {
        (policy, arm): (_signed(settled), _signed(pending))
        for policy, arm, settled, pending in iter_unpack(_CELL, row["cells"])
    }
    return row["fold_no"], found


def _signed(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


async def _reached(connection: Connection, experiment: Experiment, as_of_ms: int) -> Reached:
    """How the delays of this experiment's rewards are distributed; all at once while too few are known."""
    if experiment.spec.learning.delay is not Delay.WEIGHTED:
        return all_reached
    mature_ms = round(experiment.spec.reward.window_hours * HOUR_MS) + GRACE_MS
    await connection.execute(_SQL["prepare"])
    rows = await connection.fetch(
        _SQL["delays"],
        experiment.number,
        at(as_of_ms - mature_ms) - _OBSERVED,
        at(as_of_ms),
    )
    decided = [uid_ms(row["uid"].bytes) for row in rows]
    received = [ms(row["received_at"]) for row in rows]
    found = delay.estimate(decided, received, as_of_ms)
    return found.mean if found else all_reached
