"""How often the rules for shipping a policy are wrong, and right, when looked at daily from day 7 to 14."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from pullarm.domain.verdict import Criteria, Look, Outcome
from pullarm.statistics.cuped import Past
from pullarm.statistics.ratio import Sums
from pullarm.statistics.verdicts.rule import Data, Finding, Question, find
from tests.statistics.population import DAYS, LOOKS, days
from tests.statistics.processes import at_once

CRITERIA = Criteria()
POLICIES = ("thompson", "egreedy", "ucb")
"""Compared with the baseline."""


def judged(
    by_policy: Mapping[str, Sequence[Sums]],
    *,
    policies: Sequence[str] = POLICIES,
    users: Sequence[Mapping[str, int]] | None = None,
    past: Mapping[str, Sequence[Past]] | None = None,
) -> Finding:
    """The product's rule, day by day, until something final is found; `by_policy` has sums for each look, with control.

    Of three policies unless told otherwise, whether or not all have data. `users` are those that were exposed, by look,
    where the split is to be tested: it is an equal one. `past` is what they did before, by policy and look.
    """
    looks: dict[str, Sequence[Look]] = {}
    killed: list[str] = []
    for place, day in enumerate(LOOKS):
        question = Question(
            criteria=CRITERIA,
            policies=policies,
            day=day,
            epoch_days=day,
            last_day=DAYS,
            over=False,
            looks=looks,
            past={policy: each[place] for policy, each in (past or {}).items()},
            killed=killed,
        )
        strata = [] if users is None else [(list(users[place].values()), [1.0] * len(users[place]))]
        sums = {policy: each[place] for policy, each in by_policy.items()}
        found = find(question, Data(sums=sums, strata=strata))
        if found.final:
            break
        looks = {policy: test.looks for policy, test in found.tests.items()}
        killed = [p for p, test in found.tests.items() if test.call is Outcome.KILL]
    return found


def ships_naively(policy: Sequence[Sums], control: Sequence[Sums]) -> bool:
    """The usual rule: two proportions of impressions, p < 0.05 on any day, and a lift of 3 % or more."""
    return any(
        min(a.m, b.m) >= CRITERIA.min_events_per_policy
        and a.c / a.m >= (1.0 + CRITERIA.min_uplift) * b.c / b.m
        and _pooled_z(a, b) > 1.959964
        for a, b in zip(policy, control, strict=True)
    )


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of experiments."""

    ours: float
    """In which a policy is shipped by our rule."""
    naive: float
    """In which one is shipped by the usual rule."""
    killed: float
    """In which all policies are killed by our rule."""


def rates(
    users: int, effects: Sequence[float], seeds: Sequence[int], *, known: bool = False
) -> Rates:
    """Simulate one experiment a seed: a baseline and a policy for each effect, with so many users each.

    One effect alone stands for one of three policies: it gets a third of alpha. `known` uses what users did before.
    """
    return _shares(_found(users, effects, known, seed) for seed in seeds)


def rates_at_once(
    users: int, effects: Sequence[float], seeds: Sequence[int], *, known: bool = False
) -> Rates:
    """The same by as many processes as there are processors."""
    return _shares(at_once(partial(_found, users, effects, known), seeds))


def _shares(found: Iterable[tuple[bool, bool, bool]]) -> Rates:
    return Rates(*np.mean(list(found), axis=0).tolist())


def _found(users: int, effects: Sequence[float], known: bool, seed: int) -> tuple[bool, bool, bool]:
    """Of one experiment, in the order of `Rates`."""
    drawn = days(np.random.default_rng(seed), users, [1.0, *effects], known=known)
    names = ["control", *POLICIES[: len(effects)]]
    sums = {name: drawn.sums(number) for number, name in enumerate(names)}
    past = {name: drawn.known(number) for number, name in enumerate(names)} if known else None
    ours = judged(sums, past=past)
    control, *policies = sums.values()
    naive = any(ships_naively(policy, control) for policy in policies)
    calls = [ours.tests[name].call for name in POLICIES[: len(effects)]]
    return ours.outcome is Outcome.SHIP, naive, all(call is Outcome.KILL for call in calls)


def _pooled_z(a: Sums, b: Sums) -> float:
    pooled = (a.c + b.c) / (a.m + b.m)
    return (a.c / a.m - b.c / b.m) / math.sqrt(pooled * (1.0 - pooled) * (1.0 / a.m + 1.0 / b.m))
