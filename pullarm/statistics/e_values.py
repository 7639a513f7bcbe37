"""What is common to e-values: evidence against a hypothesis that may be looked at as often as one likes.

Under its hypothesis an e-process starts at 1 and has no mean above 1 whenever one stops, so it ever passes 1 / alpha
with probability alpha at most (Ville). Source: Ramdas, Grünwald, Vovk and Shafer, "Game-Theoretic Statistics and Safe
Anytime-Valid Inference", Statistical Science 38 (2023).
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special


def threshold(alpha: float) -> float:
    """The ln(E) at which the hypothesis is refuted at alpha in (0, 1)."""
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must be between 0 and 1, not {alpha}")
    return -math.log(alpha)


def p_values(log_e: ArrayLike) -> NDArray[np.float64]:
    """Anytime-valid p-values of an e-process: the least 1 / E so far, at most 1.

    Args:
        log_e: (n_looks,) in order of time; minus infinity is no evidence.
    """
    highest = np.maximum.accumulate(np.asarray(log_e, dtype=np.float64))
    return np.asarray(np.exp(-np.maximum(highest, 0.0)), dtype=np.float64)


def log_mean(log_e: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]:
    """ln of the weighted mean of e-values, itself an e-value; what the weights leave of 1 stays at E = 1.

    It passes 1 / alpha whenever one test passes 1 / (weight alpha): never later than splitting alpha by the weights.

    Args:
        log_e: (..., n_tests).
        weights: (n_tests,), 0 or more, set beforehand, with a sum of at most 1.

    Returns:
        (...,).

    Raises:
        ValueError: for weights outside these ranges.
    """
    shares = np.asarray(weights, dtype=np.float64)
    unused = 1.0 - shares.sum()
    if (shares < 0.0).any() or unused < -1e-9:
        raise ValueError(f"weights must be 0 or more with a sum of at most 1, not {shares}")
    values = np.asarray(log_e, dtype=np.float64)
    idle = np.zeros((*values.shape[:-1], 1))
    terms = np.concatenate([values, idle], axis=-1)
    scales = np.append(shares, max(unused, 0.0))
    return np.asarray(special.logsumexp(terms, axis=-1, b=scales), dtype=np.float64)
