"""Logs whose truth is known: users who differ, three arms, and loggers that stay as they are or learn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from replay.estimators.base import Rounds
from replay.evaluating import evaluate
from replay.evaluation import Evaluation, Settings
from replay.intervals import bootstrap, normal
from replay.intervals.base import Bounds
from replay.log import BanditLog, LogBatch, LogHead, batch, in_memory
from replay.targets import Probabilities
from tests.bandit_logs import nothing

Logger = Literal["fixed", "adaptive"]
ARMS = ("a", "b", "c")
TARGET = np.array([0.2, 0.3, 0.5])
RATES = np.array([0.2, 0.3, 0.4])
TRUTH = float(TARGET @ RATES)
"""A user's rates are half or one and a half times these, so that they are right on average."""
USERS, BATCHES, BATCH = 250, 24, 100
UNBIASED = ("ips", "snips", "dr", "sndr", "mrdr")
"""The estimators that meet the truth in the long run; the others pay bias for less variance."""
_SETTINGS = Settings(groups=USERS)
_FIXED = np.array([0.5, 0.3, 0.2])
_EPSILON = 0.3


class Blend:
    """The target: the same probabilities in every round."""

    def probabilities(self, batch: LogBatch, candidates: object) -> Probabilities:
        del candidates
        return Probabilities(TARGET[batch.action], np.tile(TARGET, len(batch)))


def logs(logger: Logger, seeds: int, *, seed: int) -> Iterator[BanditLog]:
    """A log for each of so many seeds; the adaptive logger is epsilon-greedy in the rewards of earlier batches."""
    rng = np.random.default_rng(seed)
    factor = rng.choice([0.5, 1.5], size=(seeds, USERS))
    sums = np.zeros((2, seeds, len(ARMS)))
    parts = []
    for _ in range(BATCHES):
        chances = np.broadcast_to(_FIXED, (seeds, len(ARMS)))
        if logger == "adaptive":
            chances = _greedy(sums)
        user = rng.integers(USERS, size=(seeds, BATCH))
        drawn = rng.random((seeds, BATCH, 1)) > np.cumsum(chances, axis=1)[:, None, :-1]
        action = drawn.sum(axis=2)
        rate = RATES[action] * np.take_along_axis(factor, user, axis=1)
        reward = (rng.random((seeds, BATCH)) < rate).astype(float)
        parts.append((user, action, np.take_along_axis(chances, action, axis=1), reward))
        taken = action[:, :, None] == np.arange(len(ARMS))
        sums += np.stack([taken.sum(axis=1), (taken * reward[:, :, None]).sum(axis=1)])
    user, action, propensity, reward = (
        np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True)
    )
    for row in range(seeds):
        yield _log(
            batch(
                user=user[row],
                action=action[row],
                propensity=propensity[row],
                reward=reward[row],
            )
        )


def _greedy(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    serves, rewards = sums
    means = (rewards + 1.0) / (serves + 2.0)
    best = means == means.max(axis=1, keepdims=True)
    greedy = best / best.sum(axis=1, keepdims=True)
    return np.asarray(_EPSILON / len(ARMS) + (1.0 - _EPSILON) * greedy)


def _log(rows: LogBatch) -> BanditLog:
    head = LogHead(
        name="simulated",
        arms=ARMS,
        policies=("logger",),
        rows=len(rows),
        offered="every",
        users_known=True,
    )
    return in_memory(head, [rows])


def rounds_of(whole: LogBatch, first: int, last: int) -> Rounds:
    """Rows of a log as estimators see them, with a reward model that guesses 0.3 whatever is shown."""
    rows = slice(first, last)
    guess = np.full(last - first, 0.3)
    return Rounds(
        user=whole.user[rows],
        reward=whole.reward[rows],
        propensity=whole.propensity[rows],
        target=TARGET[whole.action[rows]],
        predicted=guess,
        value=guess,
    )


def evaluated(logger: Logger, seeds: int, *, seed: int) -> Iterator[Evaluation]:
    """The target on each of the logs."""
    for log in logs(logger, seeds, seed=seed):
        yield evaluate(log, Blend(), logged_by=["logger"], settings=_SETTINGS, done=nothing)


def covered(evaluations: Sequence[Evaluation], *, alpha: float = 0.05) -> dict[str, float]:
    """How often each kind of interval held the truth."""
    held = defaultdict(list)
    for evaluation in evaluations:
        for name, (lower, upper) in _intervals(evaluation, alpha):
            held[name].append(lower <= TRUTH <= upper)
    return {name: float(np.mean(each)) for name, each in held.items()}


def _intervals(evaluation: Evaluation, alpha: float) -> Iterator[tuple[str, Bounds]]:
    estimators = evaluation.estimators
    for name in UNBIASED:
        yield f"{name} normal", normal.Interval(estimators[name]).get(alpha)
    for name in ("snips", "dr"):
        drawn = bootstrap.Interval(estimators[name], draws=400)
        yield f"{name} bootstrap", drawn.get(alpha)
    for name, bounds in evaluation.bounds(alpha).items():
        if bounds is not None:
            yield name, bounds
