"""What the caller would do without us: the baseline of every comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from pullarm.domain.experiment import POLICY_NUMBERS
from pullarm.policies.base import Offer, Prepared
from pullarm.policies.grid import Grid
from pullarm.policies.posterior import Posterior


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedControl:
    """The caller's own order, or equal weights; it learns nothing."""

    n_arms: int
    mode: Literal["caller", "uniform"]
    # Following the caller's order costs nothing, in any slot.
    recomputed_slots: ClassVar[int] = 2**31

    def weights(self, offer: Offer) -> NDArray[np.float64]:
        """1 on the caller's first candidate, or 1 / k each."""
        k = len(offer.rows)
        if self.mode == "uniform":
            return np.full(k, 1.0 / k)
        weights = np.zeros(k)
        weights[offer.order[0]] = 1.0
        return weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The caller's candidate order ("caller") or a uniform choice ("uniform").

    It has no floor: in mode "caller" its log is 0/1 and supports no estimate of other policies.
    """

    name: ClassVar[str] = "control"
    number: ClassVar[int] = POLICY_NUMBERS["control"]
    floor: ClassVar[float] = 0.0

    mode: Literal["caller", "uniform"] = "caller"

    def plan_grid(self, posterior: Posterior, previous: Grid | None) -> Grid | None:
        """None: control needs no grid."""
        del posterior, previous
        return None

    def prepare(
        self, posterior: Posterior, *, grid: Grid | None, previous: Prepared | None = None
    ) -> PreparedControl:
        """Only the number of arms matters."""
        del grid, previous
        return PreparedControl(n_arms=posterior.n_arms, mode=self.mode)
