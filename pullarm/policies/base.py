"""What a policy is: a probability vector over the candidates of one slot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pullarm.policies.grid import Grid
from pullarm.policies.posterior import Posterior

Drawn = tuple[int, int, int]
"""The arm row drawn for a slot, its integer weight and the total of the weights."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Offer:
    """The candidates still to be had in one slot, in the form the arithmetic wants."""

    rows: NDArray[np.int64]  # (k,) distinct arm rows, ascending, k >= 1
    order: NDArray[np.int64]  # (k,) indices into rows, in the caller's order

    @classmethod
    def of(cls, candidates: Sequence[int] | NDArray[np.int64]) -> Self:
        """Arrange at least one arm row, given in the caller's order; duplicates count once."""
        given = np.array(candidates, dtype=np.int64)
        rows, first = np.unique(given, return_index=True)
        return cls(rows=rows, order=np.argsort(first))

    def without(self, index: int) -> Offer:
        """The offer once `rows[index]` is taken."""
        order = self.order[self.order != index]
        order[order > index] -= 1
        return Offer(rows=np.delete(self.rows, index), order=order)


class Prepared(Protocol):
    """A posterior made ready to answer: immutable, shared by all requests on one snapshot.

    `draw` and `slate` answer a request in one compiled call; `weights` says what they draw from.
    """

    @property
    def n_arms(self) -> int:
        """The number of arm rows it knows."""

    @property
    def offered(self) -> NDArray[np.int64]:
        """The rows that are offered where no candidates are named, ascending, (k,)."""

    @property
    def floor(self) -> float:
        """The floor of the policy that prepared it."""

    @property
    def recomputed_slots(self) -> int:
        """How many slots of a slate get weights of their own; later ones are renormalised."""

    def weights(self, offer: Offer) -> NDArray[np.float64]:
        """The probability of each of `offer.rows`, (k,), summing to 1, before the floor."""

    def draw(self, candidates: NDArray[np.int64], key_0: int, key_1: int) -> Drawn:
        """Fill the first slot.

        Args:
            candidates: arm rows in the caller's order, contiguous and writable; empty for all
                that are offered.
            key_0: the first half of the decision's uid, a signed little-endian integer.
            key_1: the second half.

        Returns:
            What was drawn; row -1 if a candidate is no arm row.
        """

    def draw_each(
        self, candidates: NDArray[np.int64], ends: NDArray[np.int64], keys: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Fill the first slot of n decisions, each as `draw` does, in one call.

        Args:
            candidates: those of all decisions, one after the other; none has none.
            ends: (n,) where in them each decision's end.
            keys: (n, 2) both halves of each uid.

        Returns:
            (n, 3) what was drawn.
        """

    def slate(
        self, candidates: NDArray[np.int64], slots: int, key_0: int, key_1: int
    ) -> list[list[int]]:
        """Fill up to `slots` slots; each is what `draw` returns, and there are none for row -1."""


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
        self,
        posterior: Posterior,
        *,
        grid: Grid | None,
        previous: Prepared | None = None,
        offered: NDArray[np.int64] | None = None,
    ) -> Prepared:
        """Make `posterior` ready; rows unchanged since `previous` on the same grid are kept.

        `offered` are the rows, distinct and ascending, that stand for the whole catalogue where no
        candidates are named, contiguous and writable; None for every row.
        """
