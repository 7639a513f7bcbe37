"""More robust doubly robust: DR whose reward model is fitted to make DR's own variance small."""

import numpy as np
from numpy.typing import NDArray

from replay.estimators import base, dr


class Estimator(dr.Estimator):
    """DR on rounds whose q was fitted with `sample_weight`. Source: Farajtabar, Chow and Ghavamzadeh (ICML 2018)."""


def sample_weight(rounds: base.Rounds) -> NDArray[np.float64]:
    """(n,), what each round counts in the fit of q: target (1 - propensity) / propensity^2.

    The form of Open Bandit Pipeline, for actions that are chosen at random by the logging policy.
    """
    return rounds.weight * (1.0 - rounds.propensity) / rounds.propensity
