"""What a generator sends: requests made ready beforehand, and when each is due."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pullarm.v1 import selection_pb2 as pb

MODES = ("select", "batch", "reward", "mix")
SERVICE = "pullarm.v1.SelectionService"
SELECT, BATCH, REWARD = (f"/{SERVICE}/{name}" for name in ("Select", "SelectBatch", "Reward"))
USERS = 100_000
_VARIETY = 2_000
"""Different requests; they are sent in turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What is asked of an experiment, or of several in turn."""

    mode: str
    experiments: tuple[str, ...]
    arms: int
    """Of each experiment's catalogue; candidates are drawn from them."""
    candidates: int
    """Named in each request; 0 names none, so that every arm is offered."""
    slots: int = 1
    batch: int = 100
    """Selections in one SelectBatch."""

    @property
    def path(self) -> str:
        """The call that `mode` is about; a mix is about Select."""
        return {"batch": BATCH, "reward": REWARD}.get(self.mode, SELECT)

    @property
    def decisions(self) -> int:
        """Decisions in one such call."""
        return {"batch": self.batch, "reward": 0}.get(self.mode, 1)


class Arrivals(NamedTuple):
    """An open loop's schedule, in order of time."""

    due_s: NDArray[np.float64]  # (n,) from the start
    reward: NDArray[np.bool_]  # (n,) whether it is the mix's reward


def arm_names(arms: int) -> list[str]:
    """The catalogue's arm ids."""
    return [f"arm-{number:05d}" for number in range(arms)]


def arrivals(rng: np.random.Generator, rate: float, reward_rate: float, span_s: float) -> Arrivals:
    """Two independent Poisson processes of so many calls a second, on one time line of span_s seconds.

    Given its number, a Poisson process's arrivals are uniform (Kingman, "Poisson Processes", section 2.4).
    """
    counts = rng.poisson([rate * span_s, reward_rate * span_s])
    due_s = rng.uniform(0.0, span_s, counts.sum())
    reward = np.arange(len(due_s)) >= counts[0]
    order = np.argsort(due_s)
    return Arrivals(due_s[order], reward[order])


@lru_cache(maxsize=4)
def selections(traffic: Traffic, seed: int) -> tuple[bytes, ...]:
    """Serialised requests of `traffic.path`, or of Select where the mode is about rewards."""
    rng = np.random.default_rng([seed, 1])
    names = arm_names(traffic.arms)
    if traffic.mode != "batch":
        return tuple(
            _select(rng, traffic, names, number).SerializeToString() for number in range(_VARIETY)
        )
    return tuple(
        pb.SelectBatchRequest(
            requests=[_select(rng, traffic, names, number) for _ in range(traffic.batch)]
        ).SerializeToString()
        for number in range(max(1, _VARIETY // traffic.batch))
    )


def reward(decision_id: str, arm_id: str, value: float) -> bytes:
    """One serialised RewardRequest."""
    return pb.RewardRequest(decision_id=decision_id, arm_id=arm_id, value=value).SerializeToString()


def _select(
    rng: np.random.Generator, traffic: Traffic, names: list[str], number: int
) -> pb.SelectRequest:
    chosen = rng.choice(traffic.arms, min(traffic.candidates, traffic.arms), replace=False)
    return pb.SelectRequest(
        experiment_id=traffic.experiments[number % len(traffic.experiments)],
        user_id=f"user-{rng.integers(USERS)}",
        candidate_ids=[names[arm] for arm in chosen],
        slots=traffic.slots,
    )
