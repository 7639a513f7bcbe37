"""Less variance by what is known of users from before the experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from pullarm.statistics.ratio import Sums


@dataclass(frozen=True, slots=True, kw_only=True)
class Covariate:
    """Sums over the users of one `Sums` with a covariate x each; shards add up.

    x is fixed before a user's first impression. What works is their earlier reward beyond the average: c - R m of the
    14 days before, with R = sum of c / sum of m of everybody then; 0 for who is new.
    """

    x: float = 0
    """Sum of x over users with at least one impression, as all below."""
    xx: float = 0
    """Sum of x^2."""
    mx: float = 0
    """Sum of m x."""
    cx: float = 0
    """Sum of c x."""

    @classmethod
    def of(cls, m: ArrayLike, c: ArrayLike, x: ArrayLike) -> Self:
        """The sums over users: impressions, rewards and covariates, (n_users,) each."""
        seen, got = np.asarray(m, dtype=np.float64), np.asarray(c, dtype=np.float64)
        known = np.where(seen > 0.0, np.asarray(x, dtype=np.float64), 0.0)
        return cls(
            x=float(known.sum()),
            xx=float(known @ known),
            mx=float(seen @ known),
            cx=float(got @ known),
        )

    def __add__(self, other: Covariate) -> Covariate:
        return Covariate(
            x=self.x + other.x,
            xx=self.xx + other.xx,
            mx=self.mx + other.mx,
            cx=self.cx + other.cx,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Sums over the users of one `Sums` of what they did before: m' impressions with reward c' each, whole numbers
    as far as floats are: sums of squares in millionths have more than 64 bits."""

    n: int = 0
    """Users with any."""
    m: float = 0
    """Sum of m', as all below."""
    c: float = 0
    mm: float = 0
    cc: float = 0
    mc: float = 0
    m_m: float = 0
    """Sum of m m': the first is of the experiment, the second of before."""
    m_c: float = 0
    c_m: float = 0
    c_c: float = 0

    def covariate(self, rate: float) -> Covariate:
        """The sums of x = c' - rate m'."""
        return Covariate(
            x=self.c - rate * self.m,
            xx=self.cc - 2.0 * rate * self.mc + rate**2 * self.mm,
            mx=self.m_c - rate * self.m_m,
            cx=self.c_c - rate * self.c_m,
        )


def without_past(sums: Mapping[str, Sums], past: Mapping[str, Past]) -> dict[str, Sums]:
    """Each policy's sums `adjusted` by what its users earned before beyond the rate of all of them."""
    impressions, reward = (sum(getattr(each, name) for each in past.values()) for name in "mc")
    if not impressions:
        return dict(sums)
    rate = reward / impressions
    pairs = [(each, past.get(name, Past()).covariate(rate)) for name, each in sums.items()]
    return dict(zip(sums, adjusted(pairs), strict=True))


def adjusted(policies: Sequence[tuple[Sums, Covariate]]) -> list[Sums]:
    """Each policy's sums with c - theta (x - mean x) for c: compare them as any others.

    theta = cov(c - R m, x) / var(x) within policies, over all of them; the mean of x is over all their users. With x
    that says nothing theta is 0 and nothing changes. Policies without impressions stay as they are.

    Source: Deng, Xu, Kohavi and Walker, "Improving the Sensitivity of Online Controlled Experiments by Utilizing
    Pre-Experiment Data" (WSDM 2013), section 3.2, on the linearised ratio (Deng, Knoblich and Lu 2018, section 4.2).
    """
    covariance = variance = 0.0
    for sums, known in policies:
        if sums.ratio is not None:
            covariance += known.cx - sums.ratio * known.mx
            variance += known.xx - known.x**2 / sums.n
    users = sum(sums.n for sums, _ in policies)
    if variance <= 0.0 or users == 0:
        return [sums for sums, _ in policies]
    theta, mean = covariance / variance, sum(known.x for _, known in policies) / users
    return [_without(sums, known, theta, mean) for sums, known in policies]


def _without(sums: Sums, known: Covariate, theta: float, mean: float) -> Sums:
    """The sums of m and c - theta (x - mean)."""
    x, mx, cx = known.x - sums.n * mean, known.mx - sums.m * mean, known.cx - sums.c * mean
    xx = known.xx - 2.0 * mean * known.x + sums.n * mean**2
    return Sums(
        n=sums.n,
        m=sums.m,
        c=sums.c - theta * x,
        mm=sums.mm,
        cc=sums.cc - 2.0 * theta * cx + theta**2 * xx,
        mc=sums.mc - theta * mx,
    )
