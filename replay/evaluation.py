"""What a policy would have earned on a log: estimates, intervals and whether they may be believed."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

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
from replay.log import Candidates, LogBatch
from replay.reward_model import RewardModel
from replay.targets import Probabilities

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


class Models(NamedTuple):
    """What is learnt of rewards as a log goes by."""

    plain: RewardModel
    robust: RewardModel
    """For MRDR."""

    @classmethod
    def untaught(cls, *, n_arms: int) -> Self:
        """Those of no rows."""
        return cls(RewardModel(n_arms=n_arms), RewardModel(n_arms=n_arms))

    def learn(self, batch: LogBatch, probabilities: Probabilities) -> None:
        """Take in rows, unless it is not known what they chose from."""
        if probabilities.offered is not None:
            weight = mrdr.sample_weight(_rounds(batch, probabilities))
            self.plain.learn(batch.action, batch.reward)
            self.robust.learn(batch.action, batch.reward, weight)

    def then(self, part: Models) -> Models:
        """These of all before a part, after what others learnt in that part."""
        return Models(self.plain.then(part.plain), self.robust.then(part.robust))


class Evaluation:
    """A pass over rows in memory that does not grow with them; `+` is the pass over those and what follows them.

    Args:
        models: what the rows before taught.
    """

    def __init__(self, *, n_arms: int, settings: Settings, models: Models | None = None) -> None:
        self._settings = settings
        self._snips = snips.Estimator(groups=settings.groups)
        self._estimators = settings.estimators() | {"snips": self._snips}
        self._modelled = True
        self._diagnostics = Diagnostics(n_arms=n_arms)
        self._bernstein: EmpiricalBernstein | None = EmpiricalBernstein()
        self.models = copy.deepcopy(models) if models else Models.untaught(n_arms=n_arms)

    @property
    def rows(self) -> int:
        """How many were taken in."""
        return int(self._snips.sums[0].sum())

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
        rounds = _rounds(batch, probabilities)
        self._diagnostics.add(rounds, batch.action, candidates)
        guessed = robust = rounds
        if candidates is not None and probabilities.offered is not None:
            offered = candidates, probabilities.offered
            guessed = _guessed(rounds, batch.action, offered, self.models.plain)
            robust = _guessed(rounds, batch.action, offered, self.models.robust)
        else:
            self._modelled = False
        for name, estimator in self.estimators.items():
            estimator.add(robust if name == "mrdr" else guessed)
        if self._bernstein is not None:
            if ((rounds.reward >= 0.0) & (rounds.reward <= 1.0)).all():
                self._bernstein.add(rounds)
            else:
                self._bernstein = None
        self.models.learn(batch, probabilities)

    def __add__(self, later: Self) -> Self:
        whole = copy.copy(self)
        whole._snips = self._snips + later._snips
        whole._estimators = {
            name: each + later._estimators[name] for name, each in self._estimators.items()
        } | {"snips": whole._snips}
        whole._modelled = self._modelled and later._modelled
        whole._diagnostics = self._diagnostics + later._diagnostics
        one, other = self._bernstein, later._bernstein
        whole._bernstein = one + other if one and other else None
        whole.models = self.models.then(later.models)
        return whole

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


def _rounds(batch: LogBatch, probabilities: Probabilities) -> base.Rounds:
    return base.Rounds(
        user=batch.user,
        reward=batch.reward,
        propensity=batch.propensity,
        target=probabilities.action,
    )


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
