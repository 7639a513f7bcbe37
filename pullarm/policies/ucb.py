"""UCB1: optimism in the face of uncertainty (Auer, Cesa-Bianchi, Fischer 2002, section 2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pullarm.domain.assignment import MICRO
from pullarm.domain.experiment import POLICY_NUMBERS
from pullarm.policies.base import Offer, Prepared
from pullarm.policies.compile import kernel
from pullarm.policies.grid import Grid
from pullarm.policies.posterior import Posterior
from pullarm.policies.quadrature import log


@kernel
def _optimistic(
    serves: NDArray[np.int64], rewards: NDArray[np.int64], rows: NDArray[np.int64], spread: float
) -> NDArray[np.float64]:
    """`spread` is exploration * ln(N) in units of millionths, so that spread / serves is c ln N / n."""
    k = len(rows)
    index = np.empty(k)
    for i in range(k):
        n = serves[rows[i]]
        # Never served comes before everything, whatever the other indices are.
        index[i] = np.inf if n == 0 else rewards[rows[i]] / n + math.sqrt(spread / n)
    best = index.max()
    leaders = 0
    for i in range(k):
        leaders += index[i] == best
    weights = np.zeros(k)
    for i in range(k):
        if index[i] == best:
            weights[i] = 1.0 / leaders
    return weights


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedUcb:
    """The sums as they were folded."""

    serves: NDArray[np.int64]  # (n_arms,) millionths
    rewards: NDArray[np.int64]  # (n_arms,) millionths
    exploration: float
    recomputed_slots: ClassVar[int] = 10

    @property
    def n_arms(self) -> int:
        """The number of arm rows."""
        return len(self.serves)

    def weights(self, offer: Offer) -> NDArray[np.float64]:
        """1 shared equally by the arms with the highest index; never-served arms come first."""
        total = int(self.serves[offer.rows].sum())
        # Below one serve in all (only discounting gets there) the logarithm would be negative.
        log_n = log(max(total / MICRO, 1.0))
        spread = self.exploration * log_n * MICRO
        return _optimistic(self.serves, self.rewards, offer.rows, spread)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ucb:
    """mean + sqrt(c ln N / n), with N the serves of the candidates in the offer.

    Arms never served come first and share equally. Indices are doubles: arms share where
    theirs are equal to the last bit, which equal sums always give and unequal ones hardly ever.
    """

    name: ClassVar[str] = "ucb"
    number: ClassVar[int] = POLICY_NUMBERS["ucb"]

    exploration: float = 2.0
    floor: float = 0.05

    def plan_grid(self, posterior: Posterior, previous: Grid | None) -> Grid | None:
        """None: UCB1 needs no grid."""
        del posterior, previous
        return None

    def prepare(
        self, posterior: Posterior, *, grid: Grid | None, previous: Prepared | None = None
    ) -> PreparedUcb:
        """Keep the sums; there is nothing to compute ahead."""
        del grid, previous
        return PreparedUcb(
            serves=posterior.serves_micro,
            rewards=posterior.rewards_micro,
            exploration=self.exploration,
        )
