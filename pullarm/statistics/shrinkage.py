"""What to expect of a lift that was picked for being large."""

import math

from pullarm.statistics.ratio import LogLift

TAU = 0.03
"""Typical size of true log lifts."""


def shrunk(effect: LogLift, *, tau: float = TAU) -> LogLift:
    """The posterior mean and deviation of the log lift under a prior N(0, tau^2).

    value tau^2 / (tau^2 + error^2). Show it beside the raw one: a lift is reported when it happens to look large, which
    made +3 % look like +7.4 % at 10,000 users a policy.

    Raises:
        ValueError: unless tau > 0.

    Source: Deng, "Objective Bayesian Two Sample Hypothesis Testing for Online Controlled Experiments" (WWW 2015).
    """
    if not tau > 0.0:
        raise ValueError(f"tau must be above 0, not {tau}")
    weight = tau**2 / (tau**2 + effect.error**2)
    return LogLift(effect.value * weight, effect.error * math.sqrt(weight))
