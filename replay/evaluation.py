"""What a policy would have earned on a log: estimates, intervals and whether they may be believed, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from replay.blocks import blocks
from replay.errors import DatasetError
from replay.estimators import (
    base,
    clipped_ips,
    dm,
    dr,
    dros,
    ips,
    mrdr,
    sndr,
    snips,
    switch_dr,
)
from replay.gates import STANDARD, Diagnostics, Findings, Gates
from replay.intervals import bootstrap, cressie_read, normal
from replay.intervals.anytime import AsympCS, EmpiricalBernstein
from replay.intervals.base import Bounds
from replay.log import BanditLog, Candidates, LogBatch
from replay.reward_model import RewardModel
from replay.targets import First, Probabilities, Target

NOT_LOGGING = frozenset({"control", "none"})
"""Policies of ours whose rows support no other policy: they take the caller's first candidate."""
WITHOUT_MODEL = ("ips", "clipped_ips", "snips")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a log is evaluated."""

    alpha: float = 0.05
    clip: float = clipped_ips.LIMIT
    switch: float = switch_dr.LIMIT
    shrinkage: float = dros.SHRINKAGE
    draws: int = bootstrap.DRAWS
    seed: int = 0
    groups: int = base.GROUPS
    gates: Gates = STANDARD

    def estimators(self) -> dict[str, base.Estimator]:
        """One of each, empty, by name."""
        return {
            "ips": ips.Estimator(groups=self.groups),
            "clipped_ips": clipped_ips.Estimator(limit=self.clip, groups=self.groups),
            "snips": snips.Estimator(groups=self.groups),
            "dm": dm.Estimator(groups=self.groups),
            "dr": dr.Estimator(groups=self.groups),
            "sndr": sndr.Estimator(groups=self.groups),
            "switch_dr": switch_dr.Estimator(limit=self.switch, groups=self.groups),
            "dros": dros.Estimator(shrinkage=self.shrinkage, groups=self.groups),
            "mrdr": mrdr.Estimator(groups=self.groups),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One estimator's answer, in reward a round."""

    value: float
    normal: Bounds
    bootstrap: Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is said of a policy. Without `findings.estimable` there are no numbers."""

    findings: Findings
    estimates: dict[str, Estimate] = field(default_factory=dict)
    """By estimator; those that need a reward model are missing where the candidates are not known. `snips` and `dr`
    are to be reported; `dm` is as good as its model, and a diagnostic."""
    bounds: dict[str, Bounds | None] = field(default_factory=dict)
    """See `Evaluation.bounds`."""


class Evaluation:
    """A pass over a log in memory that does not grow with it."""

    def __init__(self, *, n_arms: int, settings: Settings) -> None:
        self._settings = settings
        self._snips = snips.Estimator(groups=settings.groups)
        self._estimators = settings.estimators() | {"snips": self._snips}
        self._modelled = True
        self._diagnostics = Diagnostics(n_arms=n_arms)
        self._bernstein: EmpiricalBernstein | None = EmpiricalBernstein()
        self._model = RewardModel(n_arms=n_arms)
        self._robust = RewardModel(n_arms=n_arms)

    @property
    def estimators(self) -> dict[str, base.Estimator]:
        """Those that the log could feed, by name."""
        names = self._estimators if self._modelled else WITHOUT_MODEL
        return {name: self._estimators[name] for name in names}

    @property
    def best(self) -> base.Estimator:
        """The one to decide by: DR, or SNIPS where there is no reward model."""
        return self._estimators["dr" if self._modelled else "snips"]

    def add(
        self, batch: LogBatch, candidates: Candidates | None, probabilities: Probabilities
    ) -> None:
        """Take in the next rows: guess their rewards from the rows before, and learn from them then."""
        rounds = base.Rounds(
            user=batch.user,
            reward=batch.reward,
            propensity=batch.propensity,
            target=probabilities.action,
        )
        self._modelled &= candidates is not None and probabilities.offered is not None
        self._diagnostics.add(rounds, batch.action, candidates)
        guessed = robust = rounds
        if self._modelled and candidates is not None and probabilities.offered is not None:
            offered = candidates, probabilities.offered
            guessed = _guessed(rounds, batch.action, offered, self._model)
            robust = _guessed(rounds, batch.action, offered, self._robust)
        for name, estimator in self.estimators.items():
            estimator.add(robust if name == "mrdr" else guessed)
        if self._bernstein is not None:
            if ((rounds.reward >= 0.0) & (rounds.reward <= 1.0)).all():
                self._bernstein.add(rounds)
            else:
                self._bernstein = None
        if self._modelled:
            self._model.learn(batch.action, batch.reward)
            self._robust.learn(batch.action, batch.reward, mrdr.sample_weight(rounds))

    def findings(self) -> Findings:
        """What there is to know about the weights."""
        return self._diagnostics.get(self._settings.gates)

    def report(self) -> Report:
        """Everything, or only the findings where a gate does not hold."""
        findings, alpha = self.findings(), self._settings.alpha
        if not findings.estimable:
            return Report(findings=findings)
        return Report(
            findings=findings,
            estimates={
                name: self._estimate(each, value)
                for name, each in self.estimators.items()
                if (value := each.get()) is not None
            },
            bounds=self.bounds(alpha),
        )

    def bounds(self, alpha: float) -> dict[str, Bounds | None]:
        """Intervals that are not about one estimator's value alone.

        `cressie_read`, and `bernstein`, which holds at any time, ask for rewards of 0 to 1 and are None otherwise.
        `asymptotic` holds at any time too, about the best estimator.
        """
        bounded = self._bernstein is not None
        return {
            "cressie_read": cressie_read.Interval(self._snips).get(alpha) if bounded else None,
            "asymptotic": AsympCS(self.best).get(alpha),
            "bernstein": self._bernstein.get(alpha) if self._bernstein else None,
        }

    def _estimate(self, estimator: base.Estimator, value: float) -> Estimate:
        alpha = self._settings.alpha
        drawn = bootstrap.Interval(estimator, draws=self._settings.draws, seed=self._settings.seed)
        return Estimate(
            value=value, normal=normal.Interval(estimator).get(alpha), bootstrap=drawn.get(alpha)
        )


def evaluate(
    log: BanditLog,
    target: Target,
    *,
    logged_by: Iterable[str],
    settings: Settings,
    done: Callable[[int], None],
) -> Evaluation:
    """Evaluate `target` on the rows that the policies `logged_by` chose; `done` is told of rows as they are read.

    Raises:
        DatasetError: where the log lacks those policies, or what the target goes by.
    """
    named = frozenset(logged_by)
    if unknown := sorted(named - set(log.head.policies)):
        known = ", ".join(log.head.policies)
        raise DatasetError(
            f"nothing in {log.head.name} was chosen by {unknown[0]!r}; there are: {known}"
        )
    if isinstance(target, First) and log.head.offered != "listed":
        raise DatasetError(
            f"{log.head.name} does not list the candidates of its rows, whose first is what control would take"
        )
    evaluation = Evaluation(n_arms=len(log.head.arms), settings=settings)
    for batch, candidates in blocks(log, named):
        evaluation.add(batch, candidates, target.probabilities(batch, candidates))
        done(len(batch))
    return evaluation


def _guessed(
    rounds: base.Rounds,
    action: NDArray[np.int32],
    offered: tuple[Candidates, NDArray[np.float64]],
    model: RewardModel,
) -> base.Rounds:
    candidates, probability = offered
    rates = model.rates()
    value = np.add.reduceat(probability * rates[candidates.arm], candidates.start[:-1])
    return replace(rounds, predicted=rates[action], value=value)
