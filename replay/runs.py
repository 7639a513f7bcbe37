"""Policies x settings x seeds over one world, by whatever engine, with the same results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pullarm.policies.base import Policy
from replay.engines.base import Engine
from replay.learning import Candidate, Setting
from replay.tally import Outcome
from replay.traffic import ArmSpec


class World(Protocol):
    """What policies are run over; it can be sent to another process."""

    way: ClassVar[str]

    @property
    def label(self) -> str:
        """What it is made of, for a person to read."""

    @property
    def arms(self) -> tuple[ArmSpec, ...]:
        """The catalogue; a row is a place in it."""

    @property
    def n_events(self) -> int:
        """How many events a run goes through."""

    @property
    def days(self) -> int:
        """How many days the events touch."""

    @property
    def rates(self) -> NDArray[np.float64]:
        """What showing each arm earns, (n_arms,)."""

    @property
    def cohorts(self) -> Mapping[str, Sequence[str]]:
        """What is known of the users, by attribute, in the order of their rows."""

    def run(self, policy: Policy, setting: Setting, seed: np.random.SeedSequence) -> Outcome:
        """One run; the same arguments give the same outcome."""


class Task(NamedTuple):
    """One run."""

    candidate: Candidate
    setting: Setting
    run: int
    """From 0; runs of one number have the same visits and draws under every policy and setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be run.

    Raises:
        ValueError: for nothing to run, or a policy or setting that is there twice.
    """

    candidates: tuple[Candidate, ...]
    settings: tuple[Setting, ...]
    runs: int = 20
    seed: int = 1

    def __post_init__(self) -> None:
        if not (self.candidates and self.settings and self.runs >= 1):
            raise ValueError("there must be a policy, a setting and a run at least")
        labels = [each.label for each in self.candidates]
        for what, given in (("policy", labels), ("setting", list(map(str, self.settings)))):
            if twice := [each for each in given if given.count(each) > 1]:
                raise ValueError(f"{what} {twice[0]} is given twice")

    @property
    def tasks(self) -> list[Task]:
        """By policy, setting and run."""
        return [Task(*each) for each in product(self.candidates, self.settings, range(self.runs))]

    def seed_of(self, task: Task) -> np.random.SeedSequence:
        """The randomness of a run."""
        return np.random.SeedSequence(self.seed, spawn_key=(task.run,))


def outcomes(
    world: World, plan: Plan, *, engine: Engine, done: Callable[[int], None]
) -> Iterator[tuple[Task, Outcome]]:
    """Every run, in the order of `plan.tasks` wherever they are done; `done` is told of each."""
    with engine.team((world, plan)) as team:
        for task, outcome in zip(plan.tasks, team.map(_run, plan.tasks), strict=True):
            yield task, outcome
            done(1)


def _run(shared: tuple[World, Plan], task: Task) -> Outcome:
    world, plan = shared
    return world.run(task.candidate.build(), task.setting, plan.seed_of(task))
