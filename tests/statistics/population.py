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

from pullarm.statistics.ratio import Sums

DAYS = 14
LOOKS = range(7, DAYS + 1)
"""Days at whose end is looked."""
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

    def sums(self, policy: int) -> list[Sums]:
        """Of one policy at each look."""
        return [Sums.of(m[policy], c[policy]) for m, c in zip(self.m, self.c, strict=True)]


def days(rng: np.random.Generator, users: int, effects: Sequence[float]) -> Days:
    """One experiment: so many users a policy, one policy for each effect (1 is none)."""
    n = users * len(effects)
    drawn = Users.drawn(rng, n)
    stays = DAYS - drawn.arrived
    who = np.repeat(np.arange(n), rng.poisson(drawn.visits * stays))
    day = drawn.arrived[who] + (rng.random(len(who)) * stays[who]).astype(np.int64)
    clicked = rng.random(len(who)) < (drawn.rate * np.repeat(effects, users))[who]
    place = np.maximum(day + 1 - LOOKS[0], 0) * n + who
    shape = len(LOOKS), len(effects), users

    def cumulated(at: NDArray[np.int64]) -> NDArray[np.float64]:
        counts = np.bincount(at, minlength=len(LOOKS) * n).reshape(shape)
        return counts.cumsum(axis=0, dtype=np.float64)

    return Days(cumulated(place), cumulated(place[clicked]))


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
