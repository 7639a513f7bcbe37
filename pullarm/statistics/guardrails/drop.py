"""Does a policy earn less than control? Looked at every five minutes, and found soon when it begins late."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from pullarm.statistics.e_values import log_mean, threshold
from pullarm.statistics.guardrails.readings import DAY_S, PERIOD_S
from pullarm.statistics.mixture import log_e_above
from pullarm.statistics.ratio import LogLift, Sums, log_lift
from pullarm.statistics.restarts import Schedule

EVERY_TWO_DAYS = Schedule(PERIOD_S, (2 * DAY_S,))
ALPHA = 0.05 / 3
"""For each of three policies at most, in one period."""
TAU = 0.10
"""The log lift that is found soonest."""
LEAST_REWARDS = 50
"""On both sides of a test, until the log lift is about normal."""


class Found(NamedTuple):
    """What the tests of one policy say."""

    log_e: float
    """Of all tests together, against "it earns no less than control"."""
    needed: float
    """The log_e that refutes it."""
    lift: float | None
    """The lowest of all tests that can tell, -0.05 for 5 % below control; None where none can."""

    def below(self, drop: float) -> bool:
        """Whether it is certain that the policy earns less, and since some start `drop` less or worse."""
        return self.lift is not None and self.lift <= -drop and self.log_e >= self.needed


def drop(
    tests: Sequence[tuple[Sums, Sums]],
    age_s: float,
    *,
    schedule: Schedule = EVERY_TWO_DAYS,
    reward: float = 1.0,
) -> Found:
    """Judge a policy by its sums and control's since each start of a test.

    The null is that the policy earns no less than control, not that it earns at most so much less: a true drop of 10 %
    would be found in half of the cases only.

    Args:
        tests: (policy, control) of each test that `schedule` says has begun, in its order.
        age_s: seconds since the first period began.
        schedule: when tests start.
        reward: what one reward is in the unit of the sums: 1,000,000 where they are in millionths.

    Raises:
        ValueError: unless there is one pair for each test that has begun.
    """
    starts, shares = schedule.begun(age_s)
    if len(tests) != len(starts):
        raise ValueError(f"tests needs one pair for each of {len(starts)} starts, not {len(tests)}")
    told = [_told(*pair, LEAST_REWARDS * reward) for pair in tests]
    values = log_e_above([-each.value for each in told], [each.error for each in told], tau=TAU)
    lifts = [each.lift for each in told if each.error < math.inf]
    return Found(
        log_e=float(log_mean(values, shares)),
        needed=threshold(ALPHA),
        lift=min(lifts, default=None),
    )


def _told(policy: Sums, control: Sums, least: float) -> LogLift:
    """Nothing at all until both have rewards enough."""
    effect = log_lift(policy, control) if min(policy.c, control.c) >= least else None
    return LogLift(0.0, math.inf) if effect is None else effect
