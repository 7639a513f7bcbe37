"""What a run did and earned: by arm, by period and user, and along the way; runs of one policy add up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

POINTS = 100
"""Of a curve: after each hundredth of the events."""
_MOST_PERIODS = 28


def period_days(days: int) -> int:
    """How many days make a period: 1, or more where there were too many periods otherwise."""
    return -(-days // _MOST_PERIODS)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decided:
    """The decisions of one run, k of them, in order."""

    event: NDArray[np.int64]  # (k,) which of the events was decided, ascending
    arm: NDArray[np.int64]  # (k,)
    user: NDArray[np.int64]  # (k,) rows of the users
    reward: NDArray[np.float64]  # (k,) 0 to 1
    regret: NDArray[np.float64]  # (k,) what the best fixed arm on offer would have earned more


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tally:
    """Sums of one run, or of several over the same periods, users and arms."""

    runs: int
    shown: NDArray[np.int64]  # (n_arms,)
    earned: NDArray[np.float64]  # (n_arms,)
    impressions: NDArray[np.int64]  # (n_periods, n_users)
    rewards: NDArray[np.float64]  # (n_periods, n_users)

    @classmethod
    def of(
        cls, decided: Decided, *, period: NDArray[np.int64], shape: tuple[int, int, int]
    ) -> Tally:
        """Of one run; `period` (k,) is that of each decision, `shape` how many arms, periods and users there are."""
        n_arms, n_periods, n_users = shape
        cell = period * n_users + decided.user
        size = n_periods * n_users
        return cls(
            runs=1,
            shown=np.bincount(decided.arm, minlength=n_arms),
            earned=_sums(decided.arm, decided.reward, n_arms),
            impressions=np.bincount(cell, minlength=size).reshape(n_periods, n_users),
            rewards=_sums(cell, decided.reward, size).reshape(n_periods, n_users),
        )

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            runs=self.runs + other.runs,
            shown=self.shown + other.shown,
            earned=self.earned + other.earned,
            impressions=self.impressions + other.impressions,
            rewards=self.rewards + other.rewards,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """One run."""

    decisions: int
    reward: float
    regret: float
    """What the best fixed arm among those on offer would have earned more; below 0 where it would have earned less."""
    curve: NDArray[np.float64]  # (POINTS, 3) decisions, reward and regret so far
    tally: Tally

    @property
    def rate(self) -> float | None:
        """Reward a decision; None without any."""
        return self.reward / self.decisions if self.decisions else None

    @classmethod
    def of(cls, decided: Decided, tally: Tally, *, events: int) -> Outcome:
        """Of a run over so many events."""
        steps = np.arange(1, POINTS + 1) * events // POINTS
        until = np.searchsorted(decided.event, steps)
        sums = [
            np.concatenate(([0.0], np.cumsum(each))) for each in (decided.reward, decided.regret)
        ]
        return cls(
            decisions=len(decided.event),
            reward=float(sums[0][-1]),
            regret=float(sums[1][-1]),
            curve=np.stack((until.astype(np.float64), sums[0][until], sums[1][until]), axis=1),
            tally=tally,
        )


def _sums(place: NDArray[np.int64], values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    return np.bincount(place, values, size).astype(np.float64)
