"""Epsilon-greedy: mostly the highest posterior mean, otherwise anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pullarm.domain.assignment import MICRO
from pullarm.domain.experiment import POLICY_NUMBERS
from pullarm.policies.base import Offer, Prepared
from pullarm.policies.exact import share_of_highest
from pullarm.policies.grid import Grid
from pullarm.policies.posterior import Posterior


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedEgreedy:
    """Posterior means as fractions of whole millionths."""

    gains: NDArray[np.uint64]  # (n_arms,) prior alpha + rewards
    trials: NDArray[np.uint64]  # (n_arms,) prior alpha + prior beta + serves
    epsilon: float
    recomputed_slots: ClassVar[int] = 10

    @property
    def n_arms(self) -> int:
        """The number of arm rows."""
        return len(self.gains)

    def weights(self, offer: Offer) -> NDArray[np.float64]:
        """epsilon / k each, and 1 - epsilon shared equally by the arms tied for the best mean."""
        highest = share_of_highest(self.gains, self.trials, offer.rows)
        return (1.0 - self.epsilon) * highest + self.epsilon / len(offer.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Egreedy:
    """(1 - epsilon) on the highest posterior mean, epsilon spread equally over all candidates.

    Means are compared exactly, as fractions of integers (128-bit cross products), so that two
    arms tie exactly if their means are equal: 1 of 3 and 2 of 6 share.
    """

    name: ClassVar[str] = "egreedy"
    number: ClassVar[int] = POLICY_NUMBERS["egreedy"]
    floor: ClassVar[float] = 0.0  # epsilon is its exploration

    prior_alpha: float = 1.0
    prior_beta: float = 1.0
    epsilon: float = 0.1

    def plan_grid(self, posterior: Posterior, previous: Grid | None) -> Grid | None:
        """None: epsilon-greedy needs no grid."""
        del posterior, previous
        return None

    def prepare(
        self, posterior: Posterior, *, grid: Grid | None, previous: Prepared | None = None
    ) -> PreparedEgreedy:
        """Add the prior, in millionths."""
        del grid, previous
        alpha = round(self.prior_alpha * MICRO)
        both = alpha + round(self.prior_beta * MICRO)
        return PreparedEgreedy(
            gains=(posterior.rewards_micro + alpha).astype(np.uint64),
            trials=(posterior.serves_micro + both).astype(np.uint64),
            epsilon=self.epsilon,
        )
