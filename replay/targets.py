"""The policy to be evaluated: with what probability it would have taken each candidate of a logged round."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pullarm.domain.assignment import MICRO
from pullarm.policies.base import Offer, Policy, Prepared
from pullarm.policies.grid import Grid
from pullarm.policies.posterior import Posterior
from replay.errors import DatasetError
from replay.log import Candidates, LogBatch


class Probabilities(NamedTuple):
    """Of n rounds whose candidates are m in all."""

    action: NDArray[np.float64]  # (n,), of the arm that was taken
    offered: NDArray[np.float64] | None  # (m,), of each candidate; None where they are not known


class Belief(NamedTuple):
    """What a policy had learned of a log's arms, and the grid that it was published with, if it was."""

    posterior: Posterior
    grid: Grid | None = None


class Target(Protocol):
    """A policy to be evaluated."""

    def probabilities(self, batch: LogBatch, candidates: Candidates | None) -> Probabilities:
        """Of each round of the batch; raises DatasetError where the log lacks what the policy goes by."""


class Logged:
    """The policy that logged, evaluated on its own log: every weight is exactly 1."""

    def probabilities(self, batch: LogBatch, candidates: Candidates | None) -> Probabilities:
        return Probabilities(batch.propensity, candidates.probability if candidates else None)


class Column:
    """Any policy, by the probabilities that the log's column `target` states."""

    def probabilities(self, batch: LogBatch, candidates: Candidates | None) -> Probabilities:
        del candidates
        if batch.target is None:
            raise DatasetError(
                "the log has no column `target`: name one when loading it, or another policy"
            )
        return Probabilities(batch.target, None)


class Uniform:
    """Each candidate alike."""

    def probabilities(self, batch: LogBatch, candidates: Candidates | None) -> Probabilities:
        listed = _listed(candidates)
        size = listed.size
        return _of(batch, listed, np.repeat(1.0 / size, size))


class First:
    """Control: the caller's first candidate."""

    def probabilities(self, batch: LogBatch, candidates: Candidates | None) -> Probabilities:
        listed = _listed(candidates)
        offered = np.zeros(len(listed.arm))
        offered[listed.start[:-1]] = 1.0
        return _of(batch, listed, offered)


class Learned:
    """A policy of ours with the posterior that it had, worked out and rounded as serving does it.

    Args:
        policy: with its parameters.
        posteriors: of all arms of the log, by the number of the first version they hold from; that of a round is the
            newest that is not newer than the version it was drawn from.
    """

    def __init__(self, policy: Policy, posteriors: Mapping[int, Belief]) -> None:
        self._policy = policy
        self._versions = sorted(posteriors)
        self._posteriors = posteriors
        self._ready: tuple[int, Prepared] | None = None
        """The posterior used last, by place; a log goes through them in order."""

    def probabilities(self, batch: LogBatch, candidates: Candidates | None) -> Probabilities:
        listed = _listed(candidates)
        arms, edges = listed.arm.astype(np.int64), listed.start.tolist()
        places = np.searchsorted(self._versions, batch.version, side="right") - 1
        if (places < 0).any():
            raise DatasetError(
                f"no posterior is given for version {batch.version.min()}: the first is for {self._versions[:1]}"
            )
        offered = np.empty(len(arms))
        known: dict[tuple[int, bytes], NDArray[np.float64]] = {}
        for row in np.argsort(places, kind="stable").tolist():
            first, last = edges[row], edges[row + 1]
            key = int(places[row]), arms[first:last].tobytes()
            if key not in known:
                known[key] = self._worked_out(key[0], arms[first:last])
            offered[first:last] = known[key]
        return _of(batch, listed, offered)

    def _worked_out(self, place: int, arms: NDArray[np.int64]) -> NDArray[np.float64]:
        """The probability of each of `arms`, in the caller's order."""
        if self._ready is None or self._ready[0] != place:
            known, published = self._posteriors[self._versions[place]]
            grid = published or self._policy.plan_grid(known, None)
            self._ready = place, self._policy.prepare(known, grid=grid)
        return drawn_from(self._ready[1], arms)


def drawn_from(prepared: Prepared, arms: NDArray[np.int64]) -> NDArray[np.float64]:
    """With what probability the draw takes each of `arms`, (k,), in the caller's order."""
    from pullarm.policies.exact import integer_weights

    offer = Offer.of(arms)
    weights = integer_weights(prepared.weights(offer), prepared.floor)
    return np.asarray(weights[offer.order] / weights.sum())


def posterior(arms: Sequence[str], learned: Mapping[str, tuple[float, float]]) -> Posterior:
    """The posterior of a log's arms from serves and rewards by arm; arms not named have neither.

    Raises:
        DatasetError: for arms that the log does not have, and for numbers that are no posterior.
    """
    if unknown := sorted(set(learned) - set(arms)):
        raise DatasetError(f"the posterior has arms that are not in the log: {unknown[:3]}")
    counts = np.array([learned.get(arm, (0.0, 0.0)) for arm in arms]).reshape(-1, 2)
    micro = np.round(counts * MICRO).astype(np.int64)
    try:
        return Posterior(serves_micro=micro[:, 0], rewards_micro=micro[:, 1])
    except ValueError as error:
        raise DatasetError(f"the posterior is none: {error}") from error


SIMPLE: Mapping[str, Callable[[], Target]] = {
    "uniform": Uniform,
    "control": First,
    "logged": Logged,
    "column": Column,
}
"""Targets that need nothing but the log, by name."""


def _listed(candidates: Candidates | None) -> Candidates:
    if candidates is None:
        raise DatasetError(
            "the log does not say what each row could choose from: only `column` and `logged` can be evaluated"
        )
    return candidates


def _of(batch: LogBatch, listed: Candidates, offered: NDArray[np.float64]) -> Probabilities:
    taken = listed.arm == np.repeat(batch.action, listed.size)
    if int(taken.sum()) != len(batch):
        raise DatasetError("an arm was chosen that is not among the candidates of its row")
    return Probabilities(offered[taken], offered)
