"""Rates of arms from sums that are kept as decisions come, a fixed number for each arm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from pullarm.statistics.aipw import LEAST_SUCCESSES, Ends, interval, sequence

LEAST_FOR_INTERVAL = 5
"""Successes from which on an interval is told: with fewer the normal approximation says nothing."""
_MICRO = 1_000_000
_OFFERED, _SERVED, _REWARDED, _CREDIT = range(4)

Counts = NDArray[np.int64]
Scored = NDArray[np.float64]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """What some decisions say of the arms that they offered: one entry for each of both, in the order of decisions."""

    cells: NDArray[np.int64]  # (n,) rows of the sums
    propensities: NDArray[np.float64]  # (n,) of the arm, in [0, 1]
    taken: NDArray[np.bool_]  # (n,) whether the arm was shown; its propensity is above 0
    credits_micro: NDArray[np.int64]  # (n,) what the decision earned, in millionths


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArmSums:
    """What is kept of some arms: the same, to the last bit, however the decisions were cut into batches."""

    counts: Counts  # (n_arms, 4) decisions that offered it, serves, rewarded serves, credit in millionths
    scored: Scored  # (n_arms, 5) sums of h, h G, h^2, h^2 G, h^2 G^2

    @classmethod
    def empty(cls, n_arms: int) -> Self:
        """Of arms that nothing offered yet."""
        return cls(counts=np.zeros((n_arms, 4), np.int64), scored=np.zeros((n_arms, 5)))

    def after(self, entries: Entries) -> ArmSums:
        """With what further decisions say.

        G is the score of `aipw.scores`, and h = sqrt(propensity). The guess of an arm's mean is (credit + 1) /
        (serves + 2) of *earlier* decisions: those are before in order, whenever their rewards came, because what is
        drawn for a decision depends on nothing but its own uid and what was published.
        """
        order = np.argsort(entries.cells, kind="stable")
        cells, taken = entries.cells[order], entries.taken[order]
        shown = taken.astype(np.int64)
        credits = entries.credits_micro[order] * shown
        serves = self.counts[cells, _SERVED] + _before(cells, shown)
        earned = self.counts[cells, _CREDIT] + _before(cells, credits)
        guesses = (earned / _MICRO + 1.0) / (serves + 2.0)
        propensities = entries.propensities[order]
        off = credits / _MICRO - guesses
        scores = guesses + np.divide(off, propensities, out=np.zeros_like(off), where=taken)
        weights = np.sqrt(propensities)
        counts, scored = self.counts.copy(), self.scored.copy()
        for column, values in enumerate((np.ones_like(shown), shown, credits > 0, credits)):
            np.add.at(counts[:, column], cells, values)
        weighed = weights * scores
        parts = (weights, weighed, propensities, weights * weighed, weighed * weighed)
        for column, terms in enumerate(parts):
            np.add.at(scored[:, column], cells, terms)  # one after the other, so in order
        return ArmSums(counts=counts, scored=scored)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArmCells:
    """Sums of arms under one policy, over decisions of one allocation epoch; in the order of epoch, policy and arm."""

    allocation_epochs: NDArray[np.int64]  # (n,)
    policies: NDArray[np.int64]  # (n,) acting
    arm_nos: NDArray[np.int64]  # (n,)
    sums: ArmSums

    @property
    def keys(self) -> list[tuple[int, int, int]]:
        """Allocation epoch, policy and arm number of each."""
        columns = (self.allocation_epochs, self.policies, self.arm_nos)
        return list(zip(*(column.tolist() for column in columns), strict=True))


class ArmRate(NamedTuple):
    """What the sums of one arm say of its rate."""

    offered: int
    served: int
    rewarded: int
    naive: float | None
    """Credit by serves; None before the first serve."""
    rate: float | None
    """Adaptively valid: sum of h G / sum of h; None before the first serve."""
    error: float | None
    """Its standard error."""
    interval: tuple[float, float] | None
    """For one look; None with fewer than `LEAST_FOR_INTERVAL` successes."""
    sequence: tuple[float, float] | None
    """For all looks at once; None with fewer than `aipw.LEAST_SUCCESSES` successes."""


def arm_rates(sums: ArmSums, *, alpha: float) -> list[ArmRate]:
    """Of each arm, at confidence 1 - alpha.

    Source: Hadad et al., see `pullarm.statistics.aipw`, whose `Sums` are these with what contrasts need beside.
    """
    offered, served, rewarded, credit = sums.counts.T
    h, hg, hh, hhg, hhgg = sums.scored.T
    with np.errstate(divide="ignore", invalid="ignore"):  # before the first serve
        naive = credit / _MICRO / served
        rate = hg / h
        error = np.sqrt(np.maximum(hhgg - 2.0 * rate * hhg + rate * rate * hh, 0.0)) / h
        once = interval(rate, error, alpha=alpha)
        # Without an error, as of an arm that paid every time it could be shown, both are the rate alone.
        always = sequence(rate, error, offered, alpha=alpha)
    seen = served > 0
    return list(
        map(
            ArmRate,
            offered.tolist(),
            served.tolist(),
            rewarded.tolist(),
            _where(seen, naive.tolist()),
            _where(seen, rate.tolist()),
            _where(seen, error.tolist()),
            _where(seen & (rewarded >= LEAST_FOR_INTERVAL), _pairs(once)),
            _where(seen & (rewarded >= LEAST_SUCCESSES), _pairs(always)),
        )
    )


def _pairs(ends: Ends) -> Iterable[tuple[float, float]]:
    low, high = ends
    return zip(low.tolist(), high.tolist(), strict=True)


def _where(known: NDArray[np.bool_], values: Iterable[T]) -> Iterator[T | None]:
    """None in place of what is not known."""
    return (value if so else None for value, so in zip(values, known.tolist(), strict=True))


def _before(cells: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each entry (n,), the sum of the values before it of the same cell; cells ascend."""
    until = np.cumsum(values) - values
    firsts = np.flatnonzero(np.diff(cells, prepend=-1))
    lengths = np.diff(firsts, append=len(cells))
    return until - np.repeat(until[firsts], lengths)
