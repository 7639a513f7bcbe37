"""Doubly robust with optimistic shrinkage: large weights shrink smoothly instead of being cut off."""

import math

from replay.estimators import base

SHRINKAGE = 100.0


class Estimator(base.Estimator):
    """mean(value + w s / (w^2 + s) (r - q)). Source: Su, Dimakopoulou, Krishnamurthy and Dudik (ICML 2020).

    Args:
        shrinkage: s, above 0; infinite is DR.
    """

    def __init__(self, *, shrinkage: float = SHRINKAGE, groups: int = base.GROUPS) -> None:
        super().__init__(groups=groups)
        self.shrinkage = base.positive("shrinkage", shrinkage)

    def terms(self, rounds: base.Rounds) -> base.Terms:
        predicted, value = rounds.models
        shrunk = rounds.weight
        if not math.isinf(self.shrinkage):
            shrunk = shrunk * self.shrinkage / (shrunk**2 + self.shrinkage)
        return value, shrunk * (rounds.reward - predicted), None
