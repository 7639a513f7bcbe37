"""Sample ratio mismatch: were users split between the policies as configured?"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

DAILY_ALPHA = 0.001
"""For `p_value` once a day: over 14 days a sound split of four is blamed in 0.8 % of experiments."""
CONCENTRATION = 1000.0
"""Of `log_bayes_factor`; 10,000 is too stiff below about 100,000 users."""


def p_value(users: ArrayLike, shares: ArrayLike) -> float:
    """Pearson's chi-square test of one look, with n_policies - 1 degrees of freedom; 1 without users.

    Args:
        users: (n_policies,) users exposed, each counted once; not impressions, which are no independent units.
        shares: (n_policies,) configured shares of the users exposed, above 0; any scale.

    Raises:
        ValueError: for differing shapes, fewer than two policies, or numbers outside these ranges.

    Source: Pearson (1900); Fabijan et al., "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments"
    (KDD 2019).
    """
    return stratified_p_value([(users, shares)])


def stratified_p_value(strata: Iterable[tuple[ArrayLike, ArrayLike]]) -> float:
    """`p_value` of several groups of users, each split by shares of its own: chi-squares and degrees of freedom add up.

    Groups without users say nothing; 1 where none has any. Errors as for `p_value`.
    """
    statistic, freedom = 0.0, 0
    for users, shares in strata:
        seen, split = _checked(users, shares)
        expected = seen.sum() * split
        if expected.any():
            statistic += float(((seen - expected) ** 2 / expected).sum())
            freedom += len(seen) - 1
    return float(special.chdtrc(freedom, statistic)) if freedom else 1.0


def log_bayes_factor(
    users: ArrayLike, shares: ArrayLike, *, concentration: float = CONCENTRATION
) -> float:
    """ln of the e-value against the configured split, by a Dirichlet prior about it; for any number of looks.

    ln B(a + users) - ln B(a) - sum users ln shares, with a = concentration * shares. It depends on cumulative counts
    only. Arguments and errors as for `p_value`; concentration above 0.

    Source: Lindon and Malek, "Anytime-Valid Inference for Multinomial Count Data" (NeurIPS 2022), section 3.
    """
    if not concentration > 0.0:
        raise ValueError(f"concentration must be above 0, not {concentration}")
    seen, split = _checked(users, shares)
    prior = concentration * split
    return float(_log_beta(prior + seen) - _log_beta(prior) - seen @ np.log(split))


def _checked(
    users: ArrayLike, shares: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    seen, split = np.asarray(users, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    if seen.ndim != 1 or seen.shape != split.shape or len(seen) < 2:
        raise ValueError(
            f"users and shares need a number for each policy: {seen.shape}, {split.shape}"
        )
    if not ((seen >= 0.0).all() and (split > 0.0).all() and np.isfinite(seen.sum() + split.sum())):
        raise ValueError(f"users must be 0 or more and shares above 0, not {seen}, {split}")
    return seen, split / split.sum()


def _log_beta(parameters: NDArray[np.float64]) -> float:
    return float(special.gammaln(parameters).sum() - special.gammaln(parameters.sum()))
