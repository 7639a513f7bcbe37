"""Self-normalised doubly robust: the correction divided by the sum of weights instead of their number."""

from replay.estimators import base


class Estimator(base.Estimator):
    """mean(value) + sum(w (r - q)) / sum(w). Source: Thomas and Brunskill (ICML 2016), the weighted form."""

    def terms(self, rounds: base.Rounds) -> base.Terms:
        predicted, value = rounds.models
        return value, rounds.weight * (rounds.reward - predicted), rounds.weight
