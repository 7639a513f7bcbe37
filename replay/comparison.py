"""What is told of runs: rates and differences with intervals, stability over time, and whom it serves how well.

Two kinds of interval. Over runs: the same people, with other visits and other draws; by Student's t. Over users: other
people as well; clustered by user over all runs, since runs share them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from pullarm.statistics.cohorts import LEAST_IMPRESSIONS, Variation, variation
from pullarm.statistics.ratio import Sums
from replay.tally import Outcome, Tally

_ALPHA = 0.05
_Z = float(special.ndtri(1 - _ALPHA / 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value and its 95 % interval; None where there is too little to tell."""

    value: float | None
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What became of an arm: its share of the decisions, and what it earned a decision."""

    arm: int
    share: float
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """What a policy earned of some users, interval over users; the same of control, and the difference."""

    value: str
    decisions: int
    rate: Estimate
    less_control: Estimate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohorts:
    """The cohorts of an attribute that are large enough to be told, and how many users' decisions are in none."""

    attribute: str
    cohorts: tuple[Cohort, ...]
    too_few: int
    """Decisions of cohorts below 2,000, which are not told."""
    variation: Variation | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Everything that is told of one policy under one setting."""

    runs: int
    decisions: float
    """A run, on average."""
    rate: Estimate
    """Reward a decision, over runs, or over users where there is one run."""
    by_users: Estimate
    regret: Estimate
    """A decision, against the best fixed arm among those on offer; below 0 where the policy beats it."""
    less_control: Estimate | None
    """Against control in the same runs."""
    less_best: Estimate | None
    """Against the policy that was best in the even runs, in the odd ones: choosing the best by chance is not in it."""
    best: str | None
    periods: tuple[Estimate, ...]
    """Rates by day or longer period, over users."""
    stability: Variation | None
    """Of the periods."""
    entropy: float
    """Of the arms' shares, by that of equal ones: 1 is uniform, 0 is one arm."""
    shares: tuple[Share, ...]
    """By share, the largest first."""
    cohorts: tuple[Cohorts, ...]
    curve: tuple[tuple[float, float, float, float, float], ...]
    """After each hundredth: decisions, rate so far with its interval, regret so far; averages over runs."""


def compare(
    runs: Mapping[str, Sequence[Outcome]], cohorts: Mapping[str, Sequence[str]], control: str | None
) -> dict[str, Told]:
    """What is told of each policy by its label, all under one setting, with runs in the same order.

    Args:
        runs: of each policy, at least one, each with a decision at least.
        cohorts: attributes of the users, (n_users,) values each.
        control: the label that others are compared with, if it is there.
    """
    rates = {label: np.array([each.rate or 0.0 for each in of]) for label, of in runs.items()}
    tallies = {label: _total([each.tally for each in of]) for label, of in runs.items()}
    best = max(rates, key=lambda label: float(rates[label][::2].mean()))
    told = {}
    for label, outcomes in runs.items():
        tally = tallies[label]
        periods = [_sums(tally, period=at) for at in range(len(tally.impressions))]
        by_users = _ratio(_sums(tally))
        held_out = rates[label][1::2] - rates[best][1::2]
        against = None if control is None or label == control else tallies[control]
        told[label] = Told(
            runs=len(outcomes),
            decisions=float(np.mean([each.decisions for each in outcomes])),
            rate=over_runs(rates[label]) if len(outcomes) > 1 else by_users,
            by_users=by_users,
            regret=over_runs(np.array([each.regret / max(each.decisions, 1) for each in outcomes])),
            less_control=(
                None
                if control is None or label == control
                else over_runs(rates[label] - rates[control])
            ),
            less_best=over_runs(held_out) if len(held_out) > 1 and label != best else None,
            best=best if len(held_out) > 1 else None,
            periods=tuple(map(_ratio, periods)),
            stability=_variation(periods),
            entropy=_entropy(tally.shown),
            shares=_shares(tally),
            cohorts=tuple(
                _cohorts(name, values, tally, against) for name, values in cohorts.items()
            ),
            curve=_curve(outcomes),
        )
    return told


def over_runs(values: NDArray[np.float64]) -> Estimate:
    """The mean of (n_runs,) values, and its interval by Student's t where there are two or more."""
    n, mean = len(values), float(values.mean())
    if n < 2:
        return Estimate(value=mean)
    half = float(special.stdtrit(n - 1, 1 - _ALPHA / 2)) * float(values.std(ddof=1)) / n**0.5
    return Estimate(value=mean, lower=mean - half, upper=mean + half)


def _total(tallies: Sequence[Tally]) -> Tally:
    total = tallies[0]
    for each in tallies[1:]:
        total = total + each
    return total


def _sums(
    tally: Tally, *, period: int | None = None, users: NDArray[np.bool_] | None = None
) -> Sums:
    """Of all users or some, in a period or all."""
    chosen = slice(None) if period is None else slice(period, period + 1)
    m, c = tally.impressions[chosen].sum(axis=0), tally.rewards[chosen].sum(axis=0)
    return Sums.of(m, c) if users is None else Sums.of(m[users], c[users])


def _ratio(sums: Sums) -> Estimate:
    value, variance = sums.ratio, sums.variance
    if value is None or variance is None:
        return Estimate(value=value)
    half = _Z * variance**0.5
    return Estimate(value=value, lower=value - half, upper=value + half)


def _variation(parts: Sequence[Sums]) -> Variation | None:
    """How rates vary beyond noise; None where a part cannot be told, or none earned anything."""
    known = [
        (each.ratio, each.variance) for each in parts if each.ratio is not None and each.variance
    ]
    if len(known) < max(2, len(parts)) or not sum(ratio for ratio, _ in known):
        return None
    return variation(
        [ratio for ratio, _ in known], [float(variance) ** 0.5 for _, variance in known]
    )


def _entropy(shown: NDArray[np.int64]) -> float:
    share = shown[shown > 0] / max(int(shown.sum()), 1)
    return max(0.0, float(-(share * np.log(share)).sum() / np.log(max(len(shown), 2))))


def _shares(tally: Tally) -> tuple[Share, ...]:
    total = max(int(tally.shown.sum()), 1)
    return tuple(
        Share(
            arm=arm,
            share=float(tally.shown[arm] / total),
            rate=float(tally.earned[arm] / max(int(tally.shown[arm]), 1)),
        )
        for arm in np.argsort(-tally.shown, kind="stable").tolist()
    )


def _cohorts(name: str, values: Sequence[str], tally: Tally, control: Tally | None) -> Cohorts:
    of = np.array(values)
    told, sums, too_few = [], [], 0
    for value in sorted(set(values)):
        users = of == value
        mine = _sums(tally, users=users)
        if mine.m < LEAST_IMPRESSIONS:
            too_few += int(mine.m)
            continue
        sums.append(mine)
        theirs = None if control is None else _sums(control, users=users)
        told.append(
            Cohort(
                value=value,
                decisions=int(mine.m),
                rate=_ratio(mine),
                less_control=None
                if theirs is None or control is None
                else _less(users, tally, control),
            )
        )
    return Cohorts(attribute=name, cohorts=tuple(told), too_few=too_few, variation=_variation(sums))


def _less(users: NDArray[np.bool_], tally: Tally, control: Tally) -> Estimate:
    """The difference of rates of the same users, whose opinions of both go together: clustered as one.

    The delta method on each user's part in both ratios.
    """
    parts, values = [], []
    for each in (tally, control):
        m, c = each.impressions.sum(axis=0)[users], each.rewards.sum(axis=0)[users]
        total = float(m.sum())
        if total == 0.0:
            return Estimate(value=None)
        values.append(float(c.sum()) / total)
        parts.append((c - values[-1] * m) / total)
    influence = parts[0] - parts[1]
    n, value = len(influence), values[0] - values[1]
    if n < 2:
        return Estimate(value=value)
    half = _Z * float(n / (n - 1) * influence @ influence) ** 0.5
    return Estimate(value=value, lower=value - half, upper=value + half)


def _curve(outcomes: Sequence[Outcome]) -> tuple[tuple[float, float, float, float, float], ...]:
    curves = np.stack([each.curve for each in outcomes])  # (runs, POINTS, 3)
    points = []
    for at in curves.transpose(1, 0, 2):
        decided = at[:, 0] > 0
        if not decided.any():
            continue
        rate = over_runs(at[decided, 1] / at[decided, 0])
        value = rate.value or 0.0
        lower = value if rate.lower is None else rate.lower
        upper = value if rate.upper is None else rate.upper
        points.append((float(at[:, 0].mean()), value, lower, upper, float(at[:, 2].mean())))
    return tuple(points)
