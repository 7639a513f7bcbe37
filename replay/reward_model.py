"""What each arm earns, learnt from a log as it goes: the q of doubly robust estimators."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STRENGTH = 10.0


class RewardModel:
    """Mean rewards by arm, drawn towards the mean of all as if each had been chosen `STRENGTH` times more.

    Predict a block of rounds first and learn from it then: every guess is made of earlier rounds only, which keeps
    doubly robust estimates unbiased on logs whose policy learnt (forward cross-fitting; folds would leak the future,
    statistics.md section 8). Before anything is known, everything earns 0.
    """

    def __init__(self, *, n_arms: int) -> None:
        self._sums = np.zeros((3, n_arms))  # rounds, weights, weighted rewards

    def rates(self) -> NDArray[np.float64]:
        """(n_arms,), the guess of each arm's mean reward."""
        rounds, weights, earned = self._sums
        total = weights.sum()
        if total == 0.0:
            return np.zeros_like(weights)
        strength = STRENGTH * total / rounds.sum()
        return np.asarray((earned + strength * earned.sum() / total) / (weights + strength))

    def learn(
        self,
        action: NDArray[np.int32],
        reward: NDArray[np.float64],
        weight: NDArray[np.float64] | None = None,
    ) -> None:
        """Take in rounds: arms, rewards and what each counts, (n,) each; None for 1."""
        n_arms = self._sums.shape[1]
        counts = np.ones(len(action)) if weight is None else weight
        for row, term in enumerate((None, counts, counts * reward)):
            self._sums[row] += np.bincount(action, weights=term, minlength=n_arms)
