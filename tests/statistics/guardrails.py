"""How often guardrails that look every five minutes for 14 days trip, on healthy and on broken policies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pullarm.statistics.guardrails import share
from pullarm.statistics.guardrails.drop import drop
from pullarm.statistics.guardrails.readings import PERIOD_S
from pullarm.statistics.ratio import Sums
from pullarm.statistics.restarts import Schedule
from tests.statistics.population import CHECKS_A_DAY, CLICK_RATE, DAYS, Impressions, impressions

CHECKS = DAYS * CHECKS_A_DAY
DAY_S = 86_400
CHECK_S = DAY_S // CHECKS_A_DAY
CHECKS_AN_HOUR = CHECKS_A_DAY // 24
MINUTES = 5  # between checks

LEAST_DROP = 0.05
AT_ONCE = Schedule(PERIOD_S, (PERIOD_S,))


Tests = dict[int, list[Sums]]
"""By the check at which a test started, one policy's sums from there on at each look."""


def tests_of(side: Impressions, looks: Sequence[int], schedule: Schedule) -> Tests:
    """Of all tests that start until the last look."""
    starts = schedule.begun(looks[-1] * CHECK_S)[0] // CHECK_S
    return {start: side.sums(looks, since=start) for start in starts.tolist()}


def drop_found(
    policy: Tests, control: Tests, looks: Sequence[int], schedule: Schedule
) -> int | None:
    """The first look (a check's number) at which the product calls a reward drop; None if it never does."""
    for number, look in enumerate(looks):
        starts = (schedule.begun(look * CHECK_S)[0] // CHECK_S).tolist()
        tests = [(policy[at][number], control[at][number]) for at in starts]
        found = drop(tests, look * CHECK_S, schedule=schedule)
        if found.below(LEAST_DROP):
            return look
    return None


def drop_found_naively(policy: Sequence[Sums], control: Sequence[Sums]) -> bool:
    """The usual rule: a rate 5 % or more below, from 100 impressions on."""
    return any(
        min(ours.m, theirs.m) >= 100 and ours.c * theirs.m < (1.0 - LEAST_DROP) * theirs.c * ours.m
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
    rng: np.random.Generator,
    counts: NDArray[np.int64],
    requests: int,
    looks: Sequence[int],
    *,
    at_most: float,
    prior: tuple[float, float],
) -> NDArray[np.float64]:
    """The look at which the product's tests call a share too high, (n_runs,); infinite if they never do.

    Args:
        rng: spreads the counts over the five minutes before each check.
        counts: (n_runs, n_checks) events that count, of so many requests, before each check.
        requests: before each check.
        looks: numbers of checks, ascending.
        at_most: the share allowed.
        prior: of `share.log_e`.
    """
    worst = rng.multinomial(counts, np.full(MINUTES, 1.0 / MINUTES)).max(axis=-1)
    first = np.full(len(counts), math.inf)
    for look in looks:
        values = share.log_e(
            by_hour(np.add, counts[:, : look + 1]),
            by_hour(np.maximum, worst[:, : look + 1]),
            by_hour(np.add, np.full((1, look + 1), requests)).repeat(len(counts), axis=0),
            look * CHECK_S,
            at_most=at_most,
            prior=prior,
        )
        first[(values >= share.NEEDED) & np.isinf(first)] = look
    return first


def by_hour(whole: np.ufunc, checks: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n_runs, n_checks) put together to (n_runs, n_hours), the last one incomplete."""
    return np.asarray(
        whole.reduceat(checks, range(0, checks.shape[1], CHECKS_AN_HOUR), axis=1), dtype=np.int64
    )


@dataclass(frozen=True, slots=True)
class Raise:
    """Whether a policy as good as control was called worse after its weight was raised."""

    ours: bool
    pooled: bool
    """By the same test over all its impressions, also those before."""


def raised(seed: int, *, total: float = 200.0, days_after: int = 3) -> Raise:
    """Raise a policy from 2 % to 40 % of `total` impressions a check on day 5; rewards come after 6 h on average.

    Every impression is another user's. Looks are hourly from the raise on.
    """
    rng = np.random.default_rng(seed)
    onset = 5 * CHECKS_A_DAY
    end = onset + days_after * CHECKS_A_DAY
    sides = []
    for before, after in ((0.02, 0.40), (0.98, 0.60)):
        shown = rng.poisson(total * np.where(np.arange(end) < onset, before, after))
        clicked = np.repeat(np.arange(end), rng.binomial(shown, CLICK_RATE))
        delay = rng.exponential(6.0 * CHECKS_AN_HOUR, len(clicked))
        sides.append((shown, clicked, np.ceil(clicked + delay).astype(np.int64)))

    looks = np.arange(onset + CHECKS_AN_HOUR, end, CHECKS_AN_HOUR)

    def sums(side: int, since: int) -> list[Sums]:
        shown, clicked, comes = sides[side]
        kept = comes[(clicked >= since) & (comes < end)]
        m = shown[since:].cumsum()[looks - since]
        c = np.bincount(kept, minlength=end).cumsum()[looks]
        return [
            Sums(n=m, m=m, c=c, mm=m, cc=c, mc=c)
            for m, c in zip(m.tolist(), c.tolist(), strict=True)
        ]

    def found(since: int) -> bool:
        pairs = zip(sums(0, since), sums(1, since), looks.tolist(), strict=True)
        return any(
            drop([(ours, theirs)], (look - since) * CHECK_S, schedule=AT_ONCE).below(LEAST_DROP)
            for ours, theirs, look in pairs
        )

    return Raise(ours=found(onset), pooled=found(0))
