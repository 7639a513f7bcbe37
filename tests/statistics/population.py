"""The users that statistical rules are held against: heavy and rare ones, good and bad ones, who come again.

A user's click rate u is Beta with a mean of 0.12 and a + b = 9; visits a day are Poisson with a rate that is Gamma of
shape 0.7 and mean 0.8; 40 % of users are there from day 1, the others arrive on a day of 1 to 14. An effect multiplies
the user's click rate. Impressions of one user go together: a variance is 2.2 times (day 7) to 3.3 times (day 14) that
of independent ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pullarm.policies.compile import background_kernel
from pullarm.statistics.cuped import Past
from pullarm.statistics.ratio import Sums

DAYS = 14
LOOKS = range(7, DAYS + 1)
"""Days at whose end is looked."""
_FIRST_LOOK = LOOKS[0]
CLICK_RATE = 0.12
_A, _B = CLICK_RATE * 9.0, (1.0 - CLICK_RATE) * 9.0
_SHAPE, _VISITS = 0.7, 0.8
_FROM_DAY_1 = 0.4


@dataclass(frozen=True, slots=True)
class Users:
    """What users are like, (n_users,) each."""

    rate: NDArray[np.float64]
    """Clicks an impression, without any effect."""
    visits: NDArray[np.float64]
    """Impressions a day."""
    arrived: NDArray[np.int64]
    """Days of the experiment before the user's first: who has none was there before."""

    @classmethod
    def drawn(cls, rng: np.random.Generator, n: int) -> Users:
        """So many at random."""
        return cls(
            rate=rng.beta(_A, _B, n),
            visits=rng.gamma(_SHAPE, _VISITS / _SHAPE, n),
            arrived=np.where(rng.random(n) < _FROM_DAY_1, 0, rng.integers(0, DAYS, n)),
        )


@dataclass(frozen=True, slots=True)
class Days:
    """Impressions and clicks of policies' users up to each look."""

    m: NDArray[np.float64]  # (n_looks, n_policies, n_users)
    c: NDArray[np.float64]  # the same
    before: NDArray[np.int64]
    """(2, n_policies, n_users) impressions and clicks in as many days before; zeros where they were not asked for."""

    def known(self, policy: int) -> list[Past]:
        """Of one policy's users at each look, what they did before."""
        before = self.before[:, policy]
        return [
            past(m[policy], c[policy], *(before * (m[policy] > 0)))
            for m, c in zip(self.m, self.c, strict=True)
        ]

    def sums(self, policy: int) -> list[Sums]:
        """Of one policy at each look."""
        return [Sums.of(m[policy], c[policy]) for m, c in zip(self.m, self.c, strict=True)]


@background_kernel
def _visit(
    rng: np.random.Generator,
    visits: NDArray[np.int64],  # (n_users,) all of each
    arrived: NDArray[np.int64],  # (n_users,)
    rates: NDArray[np.float64],  # (n_users,)
    m: NDArray[np.float64],  # (n_looks, n_users) zeros, to be impressions up to each look
    c: NDArray[np.float64],  # the same of clicks
) -> None:
    """Let every visit be on a day of its own and be clicked or not."""
    for user in range(len(visits)):
        for _ in range(visits[user]):
            day = arrived[user] + int(rng.random() * (DAYS - arrived[user]))
            look = max(day + 1 - _FIRST_LOOK, 0)
            m[look, user] += 1.0
            if rng.random() < rates[user]:
                c[look, user] += 1.0
        for look in range(1, len(m)):
            m[look, user] += m[look - 1, user]
            c[look, user] += c[look - 1, user]


def days(
    rng: np.random.Generator, users: int, effects: Sequence[float], *, known: bool = False
) -> Days:
    """One experiment: so many users a policy, one policy for each effect (1 is none)."""
    drawn = Users.drawn(rng, users * len(effects))
    visits = rng.poisson(drawn.visits * (DAYS - drawn.arrived))
    m, c = np.zeros((2, len(LOOKS), len(visits)))
    _visit(rng, visits, drawn.arrived, drawn.rate * np.repeat(effects, users), m, c)
    before = np.zeros((2, len(visits)), dtype=np.int64)
    if known:
        before[0] = rng.poisson(drawn.visits * DAYS * (drawn.arrived == 0))
        before[1] = rng.binomial(before[0], drawn.rate)
    shape = -1, len(effects), users
    return Days(m.reshape(shape), c.reshape(shape), before.reshape(shape))


def past(
    m: NDArray[np.float64],
    c: NDArray[np.float64],
    before: NDArray[np.int64],
    earned: NDArray[np.int64],
) -> Past:
    """The sums over users, (n_users,) each, who are those with m > 0."""
    products = {
        "mm": before @ before,
        "cc": earned @ earned,
        "mc": before @ earned,
        "m_m": m @ before,
        "m_c": m @ earned,
        "c_m": c @ before,
        "c_c": c @ earned,
    }
    return Past(
        n=int(np.count_nonzero(before)),
        m=int(before.sum()),
        c=int(earned.sum()),
        **{name: int(product) for name, product in products.items()},
    )


@dataclass(frozen=True, slots=True)
class Impressions:
    """Who saw something before which check, and whether it was clicked; in order of time."""

    check: NDArray[np.int64]
    user: NDArray[np.int64]
    clicked: NDArray[np.bool_]

    def sums(self, looks: Sequence[int], *, since: int = 0) -> list[Sums]:
        """Of what came from check `since` on, at each look: a check's number, ascending."""
        kept = slice(int(np.searchsorted(self.check, since)), None)
        check, user, clicked = self.check[kept], self.user[kept], self.clicked[kept]
        # What a user had before: those of the user that are earlier in time.
        order = np.argsort(user.astype(np.int16), kind="stable")
        counts = np.bincount(user)
        first = (counts.cumsum() - counts)[user[order]]
        clicks = np.append(0, clicked[order].cumsum())
        m, c = np.empty(len(user), dtype=np.int64), np.empty(len(user), dtype=np.int64)
        m[order] = np.arange(len(user)) - first
        c[order] = clicks[:-1] - clicks[first]
        changes = {
            "n": m == 0,
            "m": np.ones(len(user)),
            "c": clicked,
            "mm": 2 * m + 1,
            "cc": np.where(clicked, 2 * c + 1, 0),
            "mc": np.where(clicked, m + c + 1, c),
        }
        columns = [
            np.bincount(check, weights=change, minlength=looks[-1] + 1).cumsum()[looks].tolist()
            for change in changes.values()
        ]
        return [Sums(**dict(zip(changes, row, strict=True))) for row in zip(*columns, strict=True)]


CHECKS_A_DAY = 288


def impressions(
    rng: np.random.Generator,
    rate: float,
    checks: int,
    *,
    users: int = 10_000,
    effect: float = 1.0,
    from_check: int = 0,
) -> Impressions:
    """One policy's stream: `rate` impressions before each check on average, half as many again by day as by night.

    An effect multiplies click rates from one check on.
    """
    weight = rng.gamma(_SHAPE, 1.0, users).cumsum()
    chance = rng.beta(_A, _B, users)
    hours = 2.0 * np.pi * np.arange(checks) / CHECKS_A_DAY
    check = np.repeat(np.arange(checks), rng.poisson(rate * (1.0 + 0.5 * np.sin(hours))))
    user = np.searchsorted(weight, rng.random(len(check)) * weight[-1])
    factor = np.where(check >= from_check, effect, 1.0)
    return Impressions(check, user, rng.random(len(check)) < chance[user] * factor)
