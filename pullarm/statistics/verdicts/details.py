"""What is told beside a verdict: cohorts, without the noise, and arms. No verdict follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pullarm.domain.assignment import MICRO
from pullarm.domain.experiment import Arm
from pullarm.domain.rollup import Counts
from pullarm.domain.verdict import BestArm, CohortLift, PolicyDetails
from pullarm.statistics.arm_rates import ArmRate
from pullarm.statistics.best_arm import probability_best
from pullarm.statistics.cohorts import LEAST_IMPRESSIONS, variation
from pullarm.statistics.jackknife import GroupSums, Rate, log_lift, rate

_BEST = 3

Cohorts = Mapping[str, GroupSums]
"""By the attribute's value."""


def details(
    policy: Cohorts,
    baseline: Cohorts,
    arms: Sequence[tuple[Arm, Counts]],
    rates: Mapping[int, ArmRate],
) -> PolicyDetails:
    """Of one policy: cohorts that have enough serves on both sides, and the arms that are probably its best, with their
    adaptively valid rates by arm number."""
    shown = [
        name
        for name in sorted(policy.keys() & baseline.keys())
        if min(policy[name].m.sum(), baseline[name].m.sum()) >= LEAST_IMPRESSIONS
    ]
    return PolicyDetails(
        cohorts=tuple(_lift(name, policy[name], baseline[name]) for name in shown),
        cohort_variation=_variation([rate(policy[name]) for name in shown]),
        baseline_variation=_variation([rate(baseline[name]) for name in shown]),
        best_arms=_best(arms, rates),
    )


def _lift(name: str, policy: GroupSums, baseline: GroupSums) -> CohortLift:
    effect = log_lift(policy, baseline)
    return CohortLift(
        cohort=name,
        serves=int(policy.m.sum()),
        baseline_serves=int(baseline.m.sum()),
        lift=effect.lift if effect else None,
        interval=effect.interval() if effect else None,
    )


def _variation(rates: Sequence[Rate | None]) -> float | None:
    told = [(each.value, each.error) for each in rates if each is not None and each.error]
    if len(told) < 2 or not any(value for value, _ in told):
        return None
    values, errors = zip(*told, strict=True)
    return variation(values, errors).corrected


def _best(arms: Sequence[tuple[Arm, Counts]], rates: Mapping[int, ArmRate]) -> tuple[BestArm, ...]:
    seen = [(arm, counts) for arm, counts in arms if counts.serves > 0]
    if not seen:
        return ()
    rewards = np.array([counts.credit_micro / MICRO for _, counts in seen])
    serves = np.array([float(counts.serves) for _, counts in seen])
    chances = probability_best(1.0 + rewards, 1.0 + serves - rewards)
    found = []
    for place in np.argsort(-chances, kind="stable")[:_BEST].tolist():
        arm = seen[place][0]
        rate = rates.get(arm.arm_no)
        found.append(
            BestArm(
                arm_id=arm.arm_id,
                version=arm.version,
                serves=int(serves[place]),
                rate=float(rewards[place] / serves[place]),
                probability_best=float(chances[place]),
                adaptive_rate=rate.rate if rate else None,
                interval=rate.interval if rate else None,
                sequence=rate.sequence if rate else None,
            )
        )
    return tuple(found)
