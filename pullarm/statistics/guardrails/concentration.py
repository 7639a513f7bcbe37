"""How much of a policy's traffic one arm has, beside what tells whether that is right."""

from __future__ import annotations

import math
from typing import NamedTuple

from pullarm.domain.assignment import MICRO
from pullarm.statistics.best_arm import probability_best
from pullarm.statistics.guardrails.readings import Arms

MOST_ARMS = 100
"""P(best) of more arms is not worked out every five minutes: it takes up to a second."""


class Concentration(NamedTuple):
    """Of one policy."""

    arm_no: int
    """The arm that is served most."""
    share: float
    """Its share of the serves."""
    entropy: float | None
    """Of the serves, from 0 for a single arm to 1 for all alike; None with one arm."""
    probability_best: float | None
    """That the arm's rate is the highest of all that were served, under Beta(1, 1) for each."""


def of(arms: Arms) -> Concentration:
    """Of serves of one arm at least."""
    total = sum(arms.serves.values())
    arm_no = max(arms.serves, key=lambda each: arms.serves[each])
    entropy = None
    if len(arms.serves) > 1:
        shares = [serves / total for serves in arms.serves.values() if serves]
        entropy = -sum(each * math.log(each) for each in shares) / math.log(len(arms.serves))
    return Concentration(arm_no, arms.serves[arm_no] / total, entropy, _best(arms, arm_no))


def _best(arms: Arms, arm_no: int) -> float | None:
    if not 1 < len(arms.serves) <= MOST_ARMS:
        return None
    order = list(arms.serves)
    pairs = [arms.posterior.get(each, (0, 0)) for each in order]
    alpha = [1.0 + rewards / MICRO for _, rewards in pairs]
    beta = [1.0 + max(serves - rewards / MICRO, 0.0) for serves, rewards in pairs]
    return float(probability_best(alpha, beta)[order.index(arm_no)])
