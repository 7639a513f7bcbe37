"""Doubly robust: the reward model, corrected by the weighted errors it made. Unbiased whatever the model."""

from replay.estimators import base


class Estimator(base.Estimator):
    """mean(value + w (r - q)). Source: Dudik, Langford and Li (ICML 2011).

    On a log whose policy learnt as it went, q must be fitted on earlier rounds only.
    """

    def terms(self, rounds: base.Rounds) -> base.Terms:
        predicted, value = rounds.models
        return value, rounds.weight * (rounds.reward - predicted), None
