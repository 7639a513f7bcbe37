"""The stored counters that the checks of one experiment at one time are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pullarm.statistics.ratio import Sums

HOUR_S = 3_600
DAY_S = 86_400
PERIOD_S = 14 * DAY_S
"""False alarms are counted in periods of so long, after which all tests begin anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """What serving counted for the units of one policy in an hour; each count beside that of its worst minute."""

    calls: int = 0
    errors: int = 0
    worst_errors: int = 0
    over_warning: int = 0
    """Slower than the warning of `latency_p95`."""
    worst_over_warning: int = 0
    over_limit: int = 0
    worst_over_limit: int = 0
    rewards: int = 0
    refused: int = 0
    worst_refused: int = 0
    p95_ms: float | None = None
    """Of the latest hours only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms:
    """How one policy's serves of the last day lie on its arms."""

    serves: Mapping[int, int]
    """By arm number; the arms that were served."""
    posterior: Mapping[int, tuple[int, int]]
    """(serves, rewards in millionths) of all time, by arm number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """What 1 / (propensity * candidates) - 1 came to over the draws of one policy; its mean is 0."""

    n: int = 0
    x: float = 0.0
    xx: float = 0.0
    """Sum of squares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """All of it. Policies are named; what a policy has nothing of is left out."""

    age_s: float
    """Since the guard epoch began."""
    shares: Mapping[str, float]
    """Of the units in traffic, by policy with any: `control` among them or not."""
    hours: Mapping[str, Mapping[int, Hour]] = field(default_factory=dict)
    """By number of the hour in the current period of 14 days, from 0."""
    sums: Mapping[str, Mapping[int, Sums]] = field(default_factory=dict)
    """Over users, credit in millionths, from each start of a test on, by its number in the period."""
    users: Mapping[str, int] = field(default_factory=dict)
    """Those whose first exposure was in the present allocation epoch."""
    arms: Mapping[str, Arms] = field(default_factory=dict)
    draws: Mapping[str, Draws] = field(default_factory=dict)
    silent_s: float | None = None
    """Since serving's counters last told of the experiment; None where they never did in this guard epoch."""
    behind_s: float = 0.0
    """By how much the figures lie behind the fold."""
