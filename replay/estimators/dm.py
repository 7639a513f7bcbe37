"""The direct method: what a reward model says the target earns. As good as the model: a diagnostic, never a verdict."""

from replay.estimators import base


class Estimator(base.Estimator):
    """mean over rounds of sum over a of target(a | x) q(x, a). Source: Beygelzimer and Langford (KDD 2009)."""

    def terms(self, rounds: base.Rounds) -> base.Terms:
        _, value = rounds.models
        return value, None, None
