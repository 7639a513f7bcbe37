"""Inverse propensity scoring: the mean of w r. Unbiased wherever the log could have chosen what the target would."""

from replay.estimators import base


class Estimator(base.Estimator):
    """mean(w r). Source: Horvitz and Thompson (1952); Precup, Sutton and Singh (ICML 2000)."""

    def terms(self, rounds: base.Rounds) -> base.Terms:
        return None, rounds.weight * rounds.reward, None
