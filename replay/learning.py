"""A policy that learns as it does in production: from what was published, which is never quite what has happened."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pullarm.domain.assignment import MICRO
from pullarm.policies.base import Policy, Prepared
from pullarm.policies.grid import Grid
from pullarm.policies.posterior import Posterior
from pullarm.policies.registry import build, check

MINUTE_S = 60.0
LONGEST_DELAY_S = 24 * 3600.0
"""No reward waits longer: the attribution window of an experiment."""


def stream(seed: np.random.SeedSequence, number: int) -> np.random.SeedSequence:
    """A stream of a run's randomness, the same however often it is asked for."""
    return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, number))


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How often a posterior is published, and how long rewards take.

    Raises:
        ValueError: for `every` below 1 or a negative delay.
    """

    every: int = 100
    """Decisions between publications."""
    delay_min: float = 0.0
    """Mean of an exponential delay, in minutes; 0 for rewards that have come by the next publication."""

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every must be at least 1 decision, not {self.every}")
        if not 0.0 <= self.delay_min < float("inf"):
            raise ValueError(f"delay_min must be 0 minutes or more, not {self.delay_min}")

    def delays_s(self, rng: np.random.Generator, n: int) -> NDArray[np.float64]:
        """How long after its decision each of n rewards comes, (n,) seconds."""
        drawn = rng.standard_exponential(n) * self.delay_min * MINUTE_S
        return np.minimum(drawn, LONGEST_DELAY_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A policy to be run, by name and parameters; `label` is how it is called in what is told of it."""

    label: str
    name: str
    params: dict[str, float | str] = field(default_factory=dict)

    def build(self) -> Policy:
        """The policy, with defaults for the parameters that are not given."""
        return build(self.name, self.params)

    @classmethod
    def read(cls, said: str) -> Candidate:
        """From `NAME` or `NAME:PARAM=VALUE,PARAM=VALUE`; ValueError lists every problem."""
        name, _, rest = said.partition(":")
        params: dict[str, float | str] = {}
        for each in filter(None, rest.split(",")):
            parameter, equals, value = each.partition("=")
            if not equals:
                raise ValueError(f"{each!r} in {said!r} is not NAME=VALUE")
            try:
                params[parameter] = float(value)
            except ValueError:
                params[parameter] = value
        check(name, params)
        return cls(label=said, name=name, params=params)


class Learner:
    """What a policy has served and been told so far, and what of it is published.

    A decision counts as a failure until its reward comes, as in an experiment's default.
    """

    def __init__(self, policy: Policy, n_arms: int) -> None:
        self._policy = policy
        self._serves = np.zeros(n_arms, dtype=np.int64)
        self._rewards = np.zeros(n_arms, dtype=np.int64)
        self._due_s = np.empty(0)
        self._due = np.empty((0, 2), dtype=np.int64)  # arm, millionths
        self.grid: Grid | None = None
        self.version = 0
        """The number of the posterior that is published."""
        self.prepared = self._published(None)

    def serve(
        self, arms: NDArray[np.int64], rewards: NDArray[np.float64], due_s: NDArray[np.float64]
    ) -> None:
        """Decisions for `arms`, (k,), and what each will earn, 0 to 1, known from `due_s` on."""
        np.add.at(self._serves, arms, MICRO)
        earned = np.rint(rewards * MICRO).astype(np.int64)
        self._due_s = np.concatenate((self._due_s, due_s))
        self._due = np.concatenate((self._due, np.stack((arms, earned), axis=1)))

    def publish(self, now_s: float) -> None:
        """Take in the rewards that have come by now, and go on with what is known then."""
        come = self._due_s <= now_s
        np.add.at(self._rewards, self._due[come, 0], self._due[come, 1])
        self._due_s, self._due = self._due_s[~come], self._due[~come]
        self.version += 1
        self.prepared = self._published(self.prepared)

    @property
    def posterior(self) -> Posterior:
        """What is known."""
        return Posterior(serves_micro=self._serves, rewards_micro=self._rewards)

    def _published(self, previous: Prepared | None) -> Prepared:
        known = self.posterior
        self.grid = self._policy.plan_grid(known, self.grid)
        return self._policy.prepare(known, grid=self.grid, previous=previous)
