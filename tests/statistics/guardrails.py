"""How often guardrails that look every five minutes for 14 days trip, on healthy and on broken policies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pullarm.statistics import bernoulli
from pullarm.statistics.e_values import log_mean, threshold
from pullarm.statistics.mixture import log_e_above
from pullarm.statistics.ratio import LogLift, Sums, log_lift
from pullarm.statistics.restarts import Schedule
from tests.statistics.population import CHECKS_A_DAY, DAYS, Impressions, impressions

CHECKS = DAYS * CHECKS_A_DAY
DAY_S = 86_400
CHECK_S = DAY_S // CHECKS_A_DAY

DROP_ALPHA = 0.05 / 3  # for each of three policies
LEAST_DROP = -0.05
LEAST_CLICKS = 50
TAU = 0.10
AT_ONCE = Schedule(DAYS * DAY_S, (DAYS * DAY_S,))
EVERY_TWO_DAYS = Schedule(DAYS * DAY_S, (2 * DAY_S,))

SHARE_ALPHA = 0.05
HOURLY_AND_DAILY = Schedule(DAYS * DAY_S, (3_600, DAY_S))


Tests = dict[int, list[Sums]]
"""By the check at which a test started, one policy's sums from there on at each look."""


def tests_of(side: Impressions, looks: Sequence[int], schedule: Schedule) -> Tests:
    """Of all tests that start until the last look."""
    starts = schedule.begun(looks[-1] * CHECK_S)[0] // CHECK_S
    return {start: side.sums(looks, since=start) for start in starts.tolist()}


def drop_found(
    policy: Tests, control: Tests, looks: Sequence[int], schedule: Schedule
) -> int | None:
    """The first look (a check's number) at which our rule calls a reward drop; None if it never does.

    The e-value against "no drop" passes 1 / alpha, and since some start the lift is -5 % or less.
    """
    for number, look in enumerate(looks):
        starts, shares = schedule.begun(look * CHECK_S)
        told = [
            _told(policy[at][number], control[at][number]) for at in (starts // CHECK_S).tolist()
        ]
        if min(effect.lift for effect in told) > LEAST_DROP:
            continue
        values = log_e_above(
            [-effect.value for effect in told], [effect.error for effect in told], tau=TAU
        )
        if log_mean(values, shares) >= threshold(DROP_ALPHA):
            return look
    return None


def _told(ours: Sums, theirs: Sums) -> LogLift:
    """Nothing at all until both have clicks enough for it to be about normal."""
    effect = log_lift(ours, theirs) if min(ours.c, theirs.c) >= LEAST_CLICKS else None
    return LogLift(0.0, math.inf) if effect is None else effect


def drop_found_naively(policy: Sequence[Sums], control: Sequence[Sums]) -> bool:
    """The usual rule: a rate 5 % or more below, from 100 impressions on."""
    return any(
        min(ours.m, theirs.m) >= 100 and ours.c * theirs.m < (1.0 + LEAST_DROP) * theirs.c * ours.m
        for ours, theirs in zip(policy, control, strict=True)
    )


@dataclass(frozen=True, slots=True)
class Trips:
    """Shares of experiments with three policies in which at least one was called worse."""

    ours: float
    naive: float


def false_drops(
    rate: float, looks: Sequence[int], seeds: Iterable[int], *, schedule: Schedule = AT_ONCE
) -> Trips:
    """Three policies that are as good as the baseline, with `rate` impressions each between checks."""
    found = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        control, *policies = (
            tests_of(impressions(rng, rate, looks[-1] + 1), looks, schedule) for _ in range(4)
        )
        ours = any(drop_found(each, control, looks, schedule) is not None for each in policies)
        naive = any(drop_found_naively(each[0], control[0]) for each in policies)
        found.append((ours, naive))
    return Trips(*np.mean(found, axis=0).tolist())


def days_to_a_drop(
    rate: float,
    looks: Sequence[int],
    seeds: Iterable[int],
    *,
    from_day: int = 0,
    schedule: Schedule = AT_ONCE,
) -> NDArray[np.float64]:
    """Days from a drop of 10 % until one policy is called worse, for each seed; infinite if it never is."""
    onset = from_day * CHECKS_A_DAY
    found = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        control = impressions(rng, rate, looks[-1] + 1)
        policy = impressions(rng, rate, looks[-1] + 1, effect=0.9, from_check=onset)
        ours, theirs = (tests_of(side, looks, schedule) for side in (policy, control))
        look = drop_found(ours, theirs, looks, schedule)
        found.append(math.inf if look is None else (look + 1 - onset) / CHECKS_A_DAY)
    return np.array(found)


def share_trips(
    counts: NDArray[np.int64],
    requests: int,
    looks: Sequence[int],
    *,
    at_most: float,
    prior: tuple[float, float],
) -> NDArray[np.float64]:
    """The look at which the hourly and daily tests call a share too high, (n_runs,); infinite if they never do.

    Args:
        counts: (n_runs, n_checks) events that count, of so many requests, before each check.
        requests: before each check.
        looks: numbers of checks, ascending.
        at_most: the share allowed.
        prior: of `bernoulli.log_e`.
    """
    total = np.pad(counts.cumsum(axis=1), ((0, 0), (1, 0)))
    first = np.full(len(counts), math.inf)
    for look in looks:
        # A test that starts now has seen nothing.
        starts, shares = HOURLY_AND_DAILY.begun((look + 1) * CHECK_S)
        begun = starts // CHECK_S
        k = total[:, [look + 1]] - total[:, begun]
        n = np.broadcast_to((look + 1 - begun) * requests, k.shape)
        values = bernoulli.log_e(k, n, at_most=at_most, prior=prior)
        tripped = log_mean(values, shares) >= threshold(SHARE_ALPHA)
        first[tripped & np.isinf(first)] = look
    return first
