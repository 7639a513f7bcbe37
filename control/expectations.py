"""What to expect of an experiment: how long it takes to find an uplift, and what its configuration rules out."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from control.fields import Fields
from pullarm.domain.expected import Expected
from pullarm.domain.experiment import (
    CandidateLog,
    Catalogue,
    Experiment,
    Spec,
    State,
)
from pullarm.domain.guardrail import Action
from pullarm.statistics import power

POWER = 0.8
_FIRST_LOOK_DAY, _MOST_LOOKS = 7, 30
_EXPLORATION = ("floor", "epsilon")
_MOST_VISITS = 1e12
_CONTROL = "control"
"""The only policy that learns nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyNeeds:
    """What comparing one policy with control takes."""

    impressions: int
    """Of this policy; those of control grow with them as their shares are."""
    days: float | None
    """None where the visits of a day are not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What finding the wanted uplift takes, with daily looks from day 7 on and O'Brien-Fleming bounds."""

    uplift: float
    power: float
    """How likely it is then found."""
    alpha: float
    """How likely one policy without it passes, one-sided: 0.025 shared by the policies that are compared."""
    design_effect: float
    policies: dict[str, PolicyNeeds]


def read_expected(given: Fields, base: Expected) -> Expected:
    """What is known beforehand; what is not given stays as in `base`."""
    expected = given.nested("expected")
    expected.only(("visits_per_day", "base_rate", "uplift", "design_effect"))
    visits, rate = base.visits_per_day, base.base_rate
    if "visits_per_day" in expected:
        visits = expected.positive("visits_per_day", 1.0, _MOST_VISITS)
    if "base_rate" in expected:
        rate = expected.number("base_rate", 0.1, 1e-6, 1 - 1e-6)
    uplift = expected.number("uplift", base.uplift, 0.001, 10.0)
    if rate is not None and rate * (1 + uplift) >= 1:
        expected.note("uplift", f"takes the base rate of {rate:g} to 1 or more; give a smaller one")
    return Expected(
        visits_per_day=visits,
        base_rate=rate,
        uplift=uplift,
        design_effect=expected.number("design_effect", base.design_effect, 1.0, 1_000.0),
    )


def expectation(spec: Spec) -> Expectation | None:
    """None without a base rate, or where no policy can be compared with control."""
    weights = {policy.name: policy.weight for policy in spec.policies if policy.weight > 0}
    baseline = spec.decision.baseline
    compared = [name for name in weights if name != baseline]
    if spec.expected.base_rate is None or not compared or baseline not in weights:
        return None
    alpha, total = spec.decision.alpha / len(compared), sum(weights.values())
    effect = _drift(spec.duration_days, alpha)
    needs = {}
    for name in compared:
        share = weights[name] / total
        whole = power.impressions(
            spec.expected.base_rate,
            spec.expected.uplift,
            shares=(share, weights[baseline] / total),
            drift=effect,
            design_effect=spec.expected.design_effect,
        )
        needs[name] = PolicyNeeds(impressions=round(whole * share), days=_days(spec, whole))
    return Expectation(
        uplift=spec.expected.uplift,
        power=POWER,
        alpha=alpha,
        design_effect=spec.expected.design_effect,
        policies=needs,
    )


def warnings(experiment: Experiment) -> list[str]:
    """What the configuration rules out, or will hardly do."""
    return [*_of_spec(experiment.spec), *_of_arms(experiment), *_of_time(experiment.spec)]


def _of_spec(spec: Spec) -> Iterator[str]:
    weights = {policy.name: policy.weight for policy in spec.policies}
    baseline = spec.decision.baseline
    if not weights.get(baseline):
        yield f"{baseline} gets no traffic: there is nothing to compare the policies with, and no verdict"
    for policy in spec.policies:
        if policy.weight == 0 and policy.name != baseline:
            yield f"{policy.name} has weight 0: nobody gets it"
        for name in _EXPLORATION:
            if policy.params.get(name) == 0:
                yield (
                    f"{policy.name} has {name} 0: an arm that looked bad may never be tried again, and what another "
                    "policy would have earned cannot be estimated from its decisions"
                )
    learning = [name for name, weight in weights.items() if weight and name != _CONTROL]
    concentration = spec.guardrails.arm_concentration
    if learning and concentration.action in (Action.COUNT, Action.CRITICAL):
        yield (
            f"guardrails.arm_concentration has the action {concentration.action} and contradicts "
            f"{', '.join(learning)}: a policy that learns gives most of its serves to the best arm, and more than "
            f"{concentration.limit:.0%} would speak for a rollback; warn is meant for it"
        )
    if spec.traffic_pct == 0:
        yield "traffic_pct is 0: nobody takes part"
    if spec.log_candidates is CandidateLog.HASH:
        yield "log_candidates is hash: what another policy would have earned cannot be estimated from this log"


def _of_arms(experiment: Experiment) -> Iterator[str]:
    arms, spec = len(experiment.active()), experiment.spec
    alive = experiment.state in (State.DRAFT, State.RUNNING)
    if alive and spec.catalogue is Catalogue.CLOSED and arms < 2:
        yield f"the closed catalogue has {arms or 'no'} active arm{'s' * (arms != 1)}: there is nothing to choose"


def _of_time(spec: Spec) -> Iterator[str]:
    found = expectation(spec)
    needs = found.policies.items() if found else ()
    long = {name: need.days for name, need in needs if (need.days or 0) > spec.duration_days}
    if long:
        said = ", ".join(f"{days:,.0f} days for {name}" for name, days in long.items())
        yield (
            f"too little traffic: an uplift of {spec.expected.uplift:.1%} takes {said}, and duration_days is "
            f"{spec.duration_days:g}"
        )


def _days(spec: Spec, impressions: float) -> float | None:
    visits = (spec.expected.visits_per_day or 0.0) * spec.traffic_pct
    return round(impressions / visits, 1) if visits else None


@lru_cache(maxsize=256)
def _drift(duration_days: float, alpha: float) -> float:
    """With looks at the ends of days, from the seventh on: evenly fewer where that were many."""
    looks = int(min(max(duration_days - _FIRST_LOOK_DAY + 1, 1), _MOST_LOOKS))
    first = 1.0 if looks == 1 else _FIRST_LOOK_DAY / duration_days
    return power.drift(np.linspace(first, 1.0, looks), alpha, POWER)
