"""Self-normalised inverse propensity scoring: within the rewards' range, and moved with them."""

from replay.estimators import base


class Estimator(base.Estimator):
    """sum(w r) / sum(w). Source: Swaminathan and Joachims, "The self-normalized estimator" (NeurIPS 2015)."""

    def terms(self, rounds: base.Rounds) -> base.Terms:
        return None, rounds.weight * rounds.reward, rounds.weight
