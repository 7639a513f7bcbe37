"""Doubly robust where weights are small, and the reward model alone where they are not."""

from replay.estimators import base

LIMIT = 10.0


class Estimator(base.Estimator):
    """mean(value + w 1{w <= limit} (r - q)). Source: Wang, Agarwal and Dudik (ICML 2017).

    Args:
        limit: above 0; infinite is DR.
    """

    def __init__(self, *, limit: float = LIMIT, groups: int = base.GROUPS) -> None:
        super().__init__(groups=groups)
        self.limit = base.positive("limit", limit)

    def terms(self, rounds: base.Rounds) -> base.Terms:
        predicted, value = rounds.models
        kept = rounds.weight * (rounds.weight <= self.limit)
        return value, kept * (rounds.reward - predicted), None
