"""A policy's figures from the sums over its users, whatever keeps them."""

from math import sqrt

from pullarm.domain.assignment import MICRO
from pullarm.domain.summary import PolicyFigures
from pullarm.statistics.ratio import Sums


def figures(sums: Sums, rewarded: int) -> PolicyFigures:
    """From sums of serves and of credit in millionths, and the number of serves with a credit above zero."""
    ratio, variance = sums.ratio, sums.variance
    return PolicyFigures(
        users=int(sums.n),
        serves=int(sums.m),
        rewards=rewarded,
        rate=None if ratio is None else ratio / MICRO,
        standard_error=None if variance is None else sqrt(variance) / MICRO,
    )
