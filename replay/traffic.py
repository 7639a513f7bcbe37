"""Visits whose every possible choice has a known outcome: what drives a demo or a simulation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

BLOCK_VISITS = 2_048  # drawn at once; part of what a seed means, so a change changes all traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSpec:
    """An arm as an experiment's catalogue names it."""

    id: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One user before a handful of candidates; outcomes[i] is what showing candidates[i] earns."""

    user_id: str
    candidates: tuple[str, ...]
    outcomes: tuple[int, ...]  # 0 or 1

    def outcome(self, arm_id: str) -> int:
        """Raises ValueError where the arm was not offered."""
        if arm_id not in self.candidates:
            raise ValueError(f"arm {arm_id!r} was not offered to user {self.user_id!r}")
        return self.outcomes[self.candidates.index(arm_id)]


class Traffic(Protocol):
    """A catalogue of arms and an endless, reproducible run of visits to it."""

    @property
    def label(self) -> str:
        """What the traffic is made of, for a person to read."""
        ...

    @property
    def arms(self) -> tuple[ArmSpec, ...]: ...

    def visits(self) -> Iterator[Visit]:
        """Endless; every call starts again from the seed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedRate:
    """What a uniformly random choice among the offered candidates earns per visit, in expectation.

    The mean over visits of the visit's mean outcome. Where handfuls differ in size this is not the
    pooled share of good candidates, which no policy that chooses once a visit could earn.
    """

    visits: int = 0
    chance_sum: float = 0.0

    def add(self, visit: Visit) -> "OfferedRate":
        chance = sum(visit.outcomes) / len(visit.outcomes)
        return OfferedRate(visits=self.visits + 1, chance_sum=self.chance_sum + chance)

    def __add__(self, other: "OfferedRate") -> "OfferedRate":
        return OfferedRate(
            visits=self.visits + other.visits, chance_sum=self.chance_sum + other.chance_sum
        )

    def get(self) -> float | None:
        """The rate in [0, 1]; None before the first visit."""
        return self.chance_sum / self.visits if self.visits else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Many visits as arrays of indices; a row ends at its size, and what lies beyond means nothing."""

    user: NDArray[np.int64]  # (n,)
    candidates: NDArray[np.int64]  # (n, handful)
    outcomes: NDArray[np.int8]  # (n, handful), 0 or 1
    size: NDArray[np.int64]  # (n,), candidates offered in each visit, 2..handful

    def visits(self, user_ids: Sequence[str], arm_ids: Sequence[str]) -> Iterator[Visit]:
        rows = zip(
            self.user.tolist(),
            self.candidates.tolist(),
            self.outcomes.tolist(),
            self.size.tolist(),
            strict=True,
        )
        for user, candidates, outcomes, size in rows:
            yield Visit(
                user_id=user_ids[user],
                candidates=tuple([arm_ids[arm] for arm in candidates[:size]]),
                outcomes=tuple(outcomes[:size]),
            )


def check_handful(handful: int, n_arms: int) -> None:
    """A choice needs two candidates at least, and no visit can offer more than there are arms."""
    if not 2 <= handful <= n_arms:
        raise ValueError(f"handful must lie between 2 and the {n_arms} arms, not {handful}")
