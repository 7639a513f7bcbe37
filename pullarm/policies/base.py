"""What a policy is: a probability vector over the candidates of one slot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pullarm.policies.grid import Grid
from pullarm.policies.posterior import Posterior


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Offer:
    """The candidates still to be had in one slot, in the form the arithmetic wants."""

    rows: NDArray[np.int64]  # (k,) distinct arm rows, ascending, k >= 1
    first: int  # index into rows of the candidate that the caller put first

    @classmethod
    def of(cls, order: list[int]) -> Self:
        """Sort distinct arm rows, given in the caller's order."""
        rows = np.array(sorted(order), dtype=np.int64)
        return cls(rows=rows, first=int(np.searchsorted(rows, order[0])))


class Prepared(Protocol):
    """A posterior made ready to answer: immutable, shared by all requests on one snapshot."""

    @property
    def n_arms(self) -> int:
        """The number of arm rows it knows."""

    @property
    def recomputed_slots(self) -> int:
        """How many slots of a slate get weights of their own; later ones are renormalised."""

    def weights(self, offer: Offer) -> NDArray[np.float64]:
        """The probability of each of `offer.rows`, (k,), summing to 1, before the floor."""


class Policy(Protocol):
    """One configured policy of an experiment: frozen parameters and no state."""

    name: ClassVar[str]
    number: ClassVar[int]

    @property
    def floor(self) -> float:
        """The share in [0, 1] that is spread equally over the candidates of a slot."""

    def plan_grid(self, posterior: Posterior, previous: Grid | None) -> Grid | None:
        """The grid to publish with `posterior`: `previous` itself while it still serves.

        None for policies that need none. A new grid carries number 0 until the publisher
        gives it one (`Grid.numbered`).
        """

    def prepare(
        self, posterior: Posterior, *, grid: Grid | None, previous: Prepared | None = None
    ) -> Prepared:
        """Make `posterior` ready; rows unchanged since `previous` on the same grid are kept."""
