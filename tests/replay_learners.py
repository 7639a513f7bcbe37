"""Deterministic learners, as policies: smallest arm first among equals, functions of what was served and earned."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pullarm.domain.assignment import MICRO
from pullarm.policies.base import Drawn, Offer, Prepared
from pullarm.policies.draw import WEIGHT_ONE
from pullarm.policies.grid import Grid
from pullarm.policies.posterior import Posterior

Pick = Callable[[list[int], list[int]], int]
"""From serves and rewards by arm to the arm."""


def ucb1(n: list[int], s: list[int], *, c: float) -> int:
    if 0 in n:
        return n.index(0)
    wide = c * math.log(sum(n))
    scores = [s[arm] / n[arm] + math.sqrt(wide / n[arm]) for arm in range(len(n))]
    return scores.index(max(scores))


def greedy_laplace(n: list[int], s: list[int]) -> int:
    scores = [(s[arm] + 1) / (n[arm] + 2) for arm in range(len(n))]
    return scores.index(max(scores))


def round_robin(n: list[int], s: list[int]) -> int:
    return sum(n) % len(n)


def fixed(n: list[int], s: list[int], *, arm: int) -> int:
    return arm


LEARNERS: dict[str, Pick] = {
    "ucb1": partial(ucb1, c=2.0),
    "ucb1_a": partial(ucb1, c=0.1),
    "greedy_laplace": greedy_laplace,
    "round_robin": round_robin,
    "fixed_0": partial(fixed, arm=0),
}


@dataclass(frozen=True)
class Picked:
    """One arm, whatever is offered."""

    arm: int
    n_arms: int
    floor: float = 0.0
    recomputed_slots: int = 1

    @property
    def offered(self) -> NDArray[np.int64]:
        return np.arange(self.n_arms)

    def weights(self, offer: Offer) -> NDArray[np.float64]:
        return np.where(offer.rows == self.arm, 1.0, 0.0)

    def draw(self, candidates: NDArray[np.int64], key_0: int, key_1: int) -> Drawn:
        return self.arm, WEIGHT_ONE, WEIGHT_ONE

    def draw_each(
        self, candidates: NDArray[np.int64], ends: NDArray[np.int64], keys: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        return np.full((len(ends), 3), (self.arm, WEIGHT_ONE, WEIGHT_ONE))

    def slate(
        self, candidates: NDArray[np.int64], slots: int, key_0: int, key_1: int
    ) -> list[list[int]]:
        return [list(self.draw(candidates, key_0, key_1))]


@dataclass(frozen=True)
class Deterministic:
    """A learner as a policy."""

    pick: Pick
    name: ClassVar[str] = "deterministic"
    number: ClassVar[int] = 0
    floor: float = 0.0

    def plan_grid(self, posterior: Posterior, previous: Grid | None) -> Grid | None:
        return None

    def prepare(
        self,
        posterior: Posterior,
        *,
        grid: Grid | None,
        previous: Prepared | None = None,
        offered: NDArray[np.int64] | None = None,
    ) -> Picked:
        n = (posterior.serves_micro // MICRO).tolist()
        s = (posterior.rewards_micro // MICRO).tolist()
        return Picked(self.pick(n, s), posterior.n_arms)


@dataclass(frozen=True)
class Frozen:
    """What a policy had learned before, and nothing since."""

    prepared: Prepared
    name: ClassVar[str] = "frozen"
    number: ClassVar[int] = 0

    @property
    def floor(self) -> float:
        return self.prepared.floor

    def plan_grid(self, posterior: Posterior, previous: Grid | None) -> Grid | None:
        return None

    def prepare(
        self,
        posterior: Posterior,
        *,
        grid: Grid | None,
        previous: Prepared | None = None,
        offered: NDArray[np.int64] | None = None,
    ) -> Prepared:
        return self.prepared
