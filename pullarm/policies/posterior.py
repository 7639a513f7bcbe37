"""What a policy has learned, as the integers that the ledger folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

# Sums of two of these still fit 64 bits.
_LARGEST_MICRO = 2**61


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Posterior:
    """What one policy has learned: serves and reward sums per arm row.

    Both arrays are copied, so that a posterior never changes behind a snapshot.

    Raises:
        ValueError: if the shapes differ, a number is negative or above 2^61, or an arm's
            rewards exceed its serves.
    """

    serves_micro: NDArray[np.int64]  # (n_arms,) effective serves in millionths, >= 0
    rewards_micro: NDArray[np.int64]  # (n_arms,) summed credits in millionths, <= serves

    def __post_init__(self) -> None:
        for name in ("serves_micro", "rewards_micro"):
            given = getattr(self, name)
            values = np.array(given, dtype=np.int64, order="C")
            if values.ndim != 1 or not np.array_equal(values, given):
                raise ValueError(f"{name} must be one-dimensional whole numbers; got {given!r}")
            object.__setattr__(self, name, values)
        if self.serves_micro.shape != self.rewards_micro.shape:
            raise ValueError(
                f"serves_micro has {len(self.serves_micro)} arms and rewards_micro "
                f"{len(self.rewards_micro)}; give both one number an arm"
            )
        self._refuse(self.rewards_micro < 0, "rewards_micro is negative; give 0 or more")
        self._refuse(self.serves_micro > _LARGEST_MICRO, "serves_micro is above 2^61")
        self._refuse(
            self.rewards_micro > self.serves_micro,
            "rewards_micro exceeds serves_micro; a credit is at most 1 a serve",
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read pairs of little-endian int64, (serves, rewards) of each arm row, as publications have them."""
        pairs = np.frombuffer(data, dtype="<i8").reshape(-1, 2)
        return cls(serves_micro=pairs[:, 0], rewards_micro=pairs[:, 1])

    @property
    def n_arms(self) -> int:
        """The number of arm rows."""
        return len(self.serves_micro)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Every arm row, ascending, (n_arms,)."""
        return np.arange(self.n_arms)

    def _refuse(self, wrong: NDArray[np.bool_], problem: str) -> None:
        if wrong.any():
            raise ValueError(f"arm row {int(np.argmax(wrong))}: {problem}")
