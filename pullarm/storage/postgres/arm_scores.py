"""What logged decisions say of the arms they offered, from the weights that they were drawn from, worked out again."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import numpy as np
from asyncpg import Record

from pullarm.domain.decision import uid_ms
from pullarm.domain.errors import NotFound
from pullarm.domain.publication import Published
from pullarm.domain.weighting import HOUR_MS
from pullarm.policies.draw import KERNEL
from pullarm.policies.offered import ALL, Offered, Redrawing
from pullarm.statistics.arm_rates import ArmSums, Entries
from pullarm.storage.postgres.database import Connection
from pullarm.storage.postgres.history import Publications

Key = tuple[int, int, int]
"""Allocation epoch, policy, arm number."""
_LEFT_OUT = ("hashed", "other_kernel", "unpublished", "differing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The decisions of one day."""

    keys: list[Key]
    """Of what they offered."""
    entries: Entries
    """By row of `keys`."""
    tally: tuple[int, ...]
    """How many are counted, and how many left out as hashed, of another kernel, unpublished and differing."""

    def after(self, before: Mapping[Key, tuple[float, ...]]) -> ArmSums:
        """The sums of the keys, where these are those before; a key that is not there has none."""
        sums = ArmSums.empty(len(self.keys))
        for place, key in enumerate(self.keys):
            if key in before:
                sums.counts[place], sums.scored[place] = before[key][:4], before[key][4:]
        return sums.after(self.entries)


class Page(NamedTuple):
    """Some decisions, one after the other."""

    next_uid: UUID
    """The first that is not among them."""
    decisions: int
    """Those left out, and those that do not stand, included."""
    days: dict[int, Counted]
    """Ascending, days since 1970."""


class _Drawn(NamedTuple):
    """A decision that counts."""

    row: Record
    offered: Offered
    credit_micro: int


class Redrawn:
    """Works out again what decisions of one experiment were drawn from, one publication after another."""

    def __init__(self, experiment: int) -> None:
        self.experiment = experiment
        self._publications = Publications(experiment)
        self._redrawing = Redrawing()

    async def count(
        self, connection: Connection, rows: Sequence[Record], credits: Sequence[int]
    ) -> dict[int, Counted]:
        """What these decisions, ascending by uid, say; credits are in millionths."""
        groups: defaultdict[int, list[int]] = defaultdict(list)
        found: list[Offered | str] = [_problem(row) for row in rows]
        for place, row in enumerate(rows):
            if not found[place]:
                groups[row["pub_no"]].append(place)
        for pub_no in sorted(groups):
            places = groups[pub_no]
            try:
                published = await self._publications.read(connection, pub_no)
            except NotFound:
                for place in places:
                    found[place] = "unpublished"
                continue
            chosen = [rows[place] for place in places]
            again = await asyncio.to_thread(self._weigh, published, chosen)
            for place, offered in zip(places, again, strict=True):
                found[place] = offered
        return await asyncio.to_thread(_by_day, rows, found, credits)

    def _weigh(self, published: Published, rows: Sequence[Record]) -> list[Offered | str]:
        """What each was drawn from, beside which it holds what is logged of its own arm."""
        asked: defaultdict[int, set[bytes]] = defaultdict(set)
        for row in rows:
            asked[row["acting"]].add(_candidates(row))
        weights = {
            policy: self._redrawing.weights(published, policy, candidates)
            for policy, candidates in asked.items()
        }
        return [_matching(weights[row["acting"]][_candidates(row)], row) for row in rows]


def _problem(row: Record) -> str:
    if row["candidates_hash"] is not None:
        return "hashed"
    return "" if row["kernel"] == KERNEL else "other_kernel"


def _candidates(row: Record) -> bytes:
    return ALL if row["all_arms"] else bytes(row["candidates"])


def _matching(offered: Offered | None, row: Record) -> Offered | str:
    if offered is None:
        return "differing"
    logged = np.array([row["weight"]], dtype=np.uint64)
    same = np.array_equal(offered.weights[offered.arms == row["arm_no"]], logged)
    return offered if same and int(offered.weights.sum()) == row["total"] else "differing"


def _by_day(
    rows: Sequence[Record], found: Sequence[Offered | str], credits: Sequence[int]
) -> dict[int, Counted]:
    drawn: defaultdict[int, list[_Drawn]] = defaultdict(list)
    left_out: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for row, offered, credit in zip(rows, found, credits, strict=True):
        day = uid_ms(row["uid"].bytes) // (24 * HOUR_MS)
        if isinstance(offered, str):
            left_out[day][offered] += 1
        else:
            drawn[day].append(_Drawn(row, offered, credit))
    return {
        day: _counted(drawn[day], left_out[day]) for day in sorted(drawn.keys() | left_out.keys())
    }


def _counted(drawn: Sequence[_Drawn], left_out: Mapping[str, int]) -> Counted:
    sizes = [len(each.offered.arms) for each in drawn]
    arms = np.concatenate([np.empty(0, np.int64), *(each.offered.arms for each in drawn)])
    weights = np.concatenate([np.empty(0, np.uint64), *(each.offered.weights for each in drawn)])
    # A policy's number takes 8 bits, an arm's 32.
    spots = np.array(
        [(each.row["allocation_epoch"] << 40) + (each.row["acting"] << 32) for each in drawn],
        dtype=np.int64,
    )
    packed, cells = np.unique(np.repeat(spots, sizes) + arms, return_inverse=True)
    shown = np.array([each.row["arm_no"] for each in drawn], dtype=np.int64)
    totals = np.array([each.row["total"] for each in drawn], dtype=np.float64)
    credits = np.array([each.credit_micro for each in drawn], dtype=np.int64)
    return Counted(
        keys=[(key >> 40, key >> 32 & 0xFF, key & 0xFFFFFFFF) for key in packed.tolist()],
        entries=Entries(
            cells=cells,
            propensities=weights / np.repeat(totals, sizes),
            taken=arms == np.repeat(shown, sizes),
            credits_micro=np.repeat(credits, sizes),
        ),
        tally=(len(drawn), *(left_out.get(name, 0) for name in _LEFT_OUT)),
    )
