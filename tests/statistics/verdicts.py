"""How often the rules for shipping a policy are wrong, and right, when looked at daily from day 7 to 14."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from pullarm.statistics.group_sequential import bounds, obrien_fleming
from pullarm.statistics.ratio import LogLift, Sums, log_lift
from tests.statistics.population import DAYS, LOOKS, days

Verdict = Literal["ship", "kill", "iterate"]

LEAST_LIFT = 0.03
LEAST_IMPRESSIONS = 1_000
POLICIES = 3  # compared with the baseline
ALPHA = 0.025 / POLICIES
_SPENT = obrien_fleming(np.array(LOOKS) / DAYS, ALPHA)


def judged(policy: Sequence[Sums], control: Sequence[Sums]) -> Verdict:
    """Ours: group-sequential bounds b on the clustered log lift, on either side of it.

    Ship where the lift exceeds 0 by b errors and is 3 % or more; kill where even b errors more would leave it below.
    """
    effects = [log_lift(*pair) for pair in zip(policy, control, strict=True)]
    told = [effect for effect in effects if effect is not None]
    assert len(told) == len(effects)
    # No bound is below that of a single look with all that was spent by then, so most need none.
    if not any(_verdict(each, -_z(spent)) for each, spent in zip(told, _SPENT, strict=True)):
        return "iterate"
    limits = bounds([effect.information for effect in told], _SPENT)
    verdicts = (_verdict(effect, bound) for effect, bound in zip(told, limits, strict=True))
    return next((verdict for verdict in verdicts if verdict), "iterate")


def ships_naively(policy: Sequence[Sums], control: Sequence[Sums]) -> bool:
    """The usual rule: two proportions of impressions, p < 0.05 on any day, and a lift of 3 % or more."""
    return any(
        min(a.m, b.m) >= LEAST_IMPRESSIONS
        and a.c / a.m >= (1.0 + LEAST_LIFT) * b.c / b.m
        and _pooled_z(a, b) > 1.959964
        for a, b in zip(policy, control, strict=True)
    )


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of experiments."""

    ours: float
    """In which a policy is shipped by our rule."""
    naive: float
    """In which one is shipped by the usual rule."""
    killed: float
    """In which all policies are killed by our rule."""


def rates(users: int, effects: Sequence[float], seeds: Iterable[int]) -> Rates:
    """Simulate one experiment a seed: a baseline and a policy for each effect, with so many users each."""
    found = []
    for seed in seeds:
        drawn = days(np.random.default_rng(seed), users, [1.0, *effects])
        control, *policies = (drawn.sums(number) for number in range(1 + len(effects)))
        verdicts = {judged(policy, control) for policy in policies}
        naive = any(ships_naively(policy, control) for policy in policies)
        found.append(("ship" in verdicts, naive, verdicts == {"kill"}))
    return Rates(*np.mean(found, axis=0).tolist())


def _verdict(effect: LogLift, bound: float) -> Verdict | None:
    if effect.value > bound * effect.error and effect.lift >= LEAST_LIFT:
        return "ship"
    if effect.value + bound * effect.error < math.log1p(LEAST_LIFT):
        return "kill"
    return None


def _z(probability: float) -> float:

    return NormalDist().inv_cdf(probability)


def _pooled_z(a: Sums, b: Sums) -> float:
    pooled = (a.c + b.c) / (a.m + b.m)
    return (a.c / a.m - b.c / b.m) / math.sqrt(pooled * (1.0 - pooled) * (1.0 / a.m + 1.0 / b.m))
