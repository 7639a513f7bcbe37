"""What each arm earns, learnt from a log as it goes: the q of doubly robust estimators."""

from __future__ import annotations

import copy
from typing import Self

import numpy as np
from numpy.typing import NDArray

STRENGTH = 10.0


class RewardModel:
    """Mean rewards by arm, drawn towards the mean of all as if each had been chosen `STRENGTH` times more.

    Predict a block of rounds first and learn from it then: every guess is made of earlier rounds only, which keeps
    doubly robust estimates unbiased on logs whose policy learnt (forward cross-fitting; folds would leak the future,
    statistics.md section 8). Before anything is known, everything earns 0.

    What a part of a log taught is kept apart from all before it, so that a model is the same to the last bit whether it
    went through all parts, or was put together of models that went through one each.
    """

    def __init__(self, *, n_arms: int) -> None:
        self._before = np.zeros((3, n_arms))  # rounds, weights, weighted rewards
        self._sums = np.zeros((3, n_arms))

    def rates(self) -> NDArray[np.float64]:
        """(n_arms,), the guess of each arm's mean reward."""
        rounds, weights, earned = self._before + self._sums
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

    def then(self, part: Self) -> Self:
        """This model of all before a part, after what another one learnt in that part."""
        whole = copy.copy(self)
        whole._before = self._before + part._sums
        whole._sums = np.zeros_like(self._sums)
        return whole
