"""What came of arms, in columns: thousands of them are told without work on each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pullarm.domain.assignment import MICRO
from pullarm.domain.rollup import Counts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArmCounts:
    """A row for each arm in each group of slots, by the policy that chose it; in the order of policy, arm and slot."""

    policies: NDArray[np.int64]  # (n,) acting
    arm_nos: NDArray[np.int64]  # (n,)
    first_slots: NDArray[np.int64]  # (n,) of the group: 1, 2 (to 3), 4 (to 7), 8 (to 15), ...
    serves: NDArray[np.int64]  # (n,) not 0
    rewarded: NDArray[np.int64]  # (n,) serves with a credit above zero
    credits_micro: NDArray[np.int64]  # (n,) millionths

    @property
    def rewards(self) -> NDArray[np.float64]:
        """(n,) sums of the credits."""
        return self.credits_micro / MICRO

    @property
    def rates(self) -> NDArray[np.float64]:
        """(n,) mean credit a serve."""
        return self.rewards / self.serves

    @property
    def shares(self) -> NDArray[np.float64]:
        """(n,) of the policy's serves in the same slots."""
        places = self.policies << 32 | self.first_slots
        _, groups = np.unique(places, return_inverse=True)
        # Whole numbers below 2^53, so exact.
        return self.serves / np.bincount(groups, weights=self.serves)[groups]

    def rows(self) -> Iterator[tuple[int, int, int, Counts]]:
        """Policy, arm number, first slot and counts of each."""
        keys = (self.policies, self.arm_nos, self.first_slots)
        sums = (self.serves, self.rewarded, self.credits_micro)
        for policy, arm_no, first_slot, serves, rewarded, credit_micro in zip(
            *(column.tolist() for column in (*keys, *sums)), strict=True
        ):
            counts = Counts(serves=serves, rewarded=rewarded, credit_micro=credit_micro)
            yield policy, arm_no, first_slot, counts
