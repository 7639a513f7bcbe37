"""Inverse propensity scoring with weights cut off at a limit: less variance, and biased down where rewards are >= 0."""

import numpy as np

from replay.estimators import base

LIMIT = 10.0


class Estimator(base.Estimator):
    """mean(min(w, limit) r). Source: Ionides, "Truncated importance sampling", JCGS 17 (2008).

    Args:
        limit: above 0; infinite is IPS.
    """

    def __init__(self, *, limit: float = LIMIT, groups: int = base.GROUPS) -> None:
        super().__init__(groups=groups)
        self.limit = base.positive("limit", limit)

    def terms(self, rounds: base.Rounds) -> base.Terms:
        return None, np.minimum(rounds.weight, self.limit) * rounds.reward, None
