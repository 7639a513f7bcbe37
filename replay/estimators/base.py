"""What every estimator takes and keeps: rounds in, sums by group of users out."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

GROUPS = 1 << 14
"""Groups of users that sums are kept by. Users fall into them by number, so that up to so many numbered from 0 have one
each; more share, whole users each, which costs the standard error some 1 / sqrt(2 GROUPS) of itself and nothing
else."""

Term = NDArray[np.float64] | None
Terms = tuple[Term, Term, Term]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rounds:
    """A batch of logged decisions as estimators see them; all of shape (n,)."""

    user: NDArray[np.int64]  # a number for each; rounds of one user are not independent
    reward: NDArray[np.float64]  # of the action taken
    propensity: NDArray[np.float64]  # (0, 1]: the logging policy's, of the action taken
    target: NDArray[np.float64]  # 0..1: the evaluated policy's, of the action taken
    predicted: NDArray[np.float64] | None = None  # q(x, action): a reward model's guess
    value: NDArray[np.float64] | None = None  # sum over a of target(a | x) q(x, a)

    @cached_property
    def weight(self) -> NDArray[np.float64]:
        """target / propensity."""
        return self.target / self.propensity

    @property
    def models(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """`predicted` and `value`; raises ValueError where the rounds were given none."""
        if self.predicted is None or self.value is None:
            raise ValueError("this estimator needs a reward model: give predicted and value")
        return self.predicted, self.value


class Estimator(ABC):
    """An estimate of the form sum(direct) / n + sum(weighted) / sum(normaliser) over rounds.

    The sums are kept by group of users, 4 numbers each (512 kB at 16,384 groups), however many rounds there are:
    whatever clusters by user (`replay.intervals`) is made of them.
    """

    def __init__(self, *, groups: int = GROUPS) -> None:
        self.sums: NDArray[np.float64] = np.zeros((4, groups))
        """(4, n_groups): rounds, direct, weighted and normaliser."""

    @abstractmethod
    def terms(self, rounds: Rounds) -> Terms:
        """Direct, weighted and normaliser of each round, (n,) each; None for 0, and as normaliser for 1."""

    def add(self, rounds: Rounds) -> None:
        """Take in a batch; raises ValueError where it lacks a reward model that the estimator needs."""
        direct, weighted, normaliser = self.terms(rounds)
        groups = self.sums.shape[1]
        group = rounds.user % groups
        count = np.bincount(group, minlength=groups)
        self.sums[0] += count
        self.sums[3] += count if normaliser is None else _by_group(group, normaliser, groups)
        for row, term in ((1, direct), (2, weighted)):
            if term is not None:
                self.sums[row] += _by_group(group, term, groups)

    def get(self) -> float | None:
        """The estimate; None without rounds, or where every weight is 0 and they normalise."""
        totals = self.sums.sum(axis=1)
        return None if totals[0] == 0.0 or totals[3] == 0.0 else float(estimate(totals))

    def __add__(self, other: Self) -> Self:
        """The estimator of both logs; users that are in both stay one cluster."""
        whole = copy.copy(self)
        whole.sums = self.sums + other.sums
        return whole


def estimate(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """The estimates from totals (4, ...), of the shape after the first; of no rounds or no weight, nan or infinite."""
    rounds, direct, weighted, normaliser = totals
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(direct / rounds + weighted / normaliser)


def positive(name: str, number: float) -> float:
    """The number; raises ValueError unless it is above 0, infinite included."""
    if not number > 0.0:
        raise ValueError(f"{name} must be above 0, not {number}")
    return number


def _by_group(
    group: NDArray[np.int64], term: NDArray[np.float64], groups: int
) -> NDArray[np.float64]:
    return np.asarray(np.bincount(group, weights=term, minlength=groups), dtype=np.float64)
