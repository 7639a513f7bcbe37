"""Ship, kill or continue: group-sequential bounds on clustered log lifts, over policies and allocation epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scipy import special

from pullarm.domain.verdict import Criteria, Look, Outcome
from pullarm.statistics.cuped import Past, without_past
from pullarm.statistics.group_sequential import bounds, obrien_fleming
from pullarm.statistics.ratio import LogLift, Sums, log_lift
from pullarm.statistics.srm import DAILY_ALPHA, stratified_p_value

Strata = Sequence[tuple[Sequence[float], Sequence[float]]]
"""Users by policy, and the configured shares of those policies, for each group of users that were split alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """All that a verdict follows from, but for the data."""

    criteria: Criteria
    policies: Sequence[str]
    """All that have traffic in this allocation epoch but the baseline."""
    day: int
    """Whole days of matured data since the experiment's start."""
    epoch_days: int
    """Those of the allocation epoch, whose data alone are judged: what came before was split otherwise."""
    last_day: int
    """Day of the last look, by the plan."""
    over: bool
    """Whether no more data will come."""
    looks: Mapping[str, Sequence[Look]] = field(default_factory=dict)
    """Those of before, in this allocation epoch, by policy in order of time."""
    spent_before: float = 0.0
    """What all policies together spent in earlier allocation epochs."""
    past: Mapping[str, Past] = field(default_factory=dict)
    """What the users of each policy did before the experiment, which its policies had no part in."""
    killed: Sequence[str] = ()
    """Policies that were killed in this allocation epoch."""
    rolled_back: str = ""
    """Why it is rolled back; empty where it is not."""
    problems: Sequence[str] = ()
    """Why the figures cannot be relied on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The matured data of an allocation epoch."""

    sums: Mapping[str, Sums]
    """Over the users of each policy."""
    strata: Strata = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One policy at this look."""

    effect: LogLift | None
    """None where it cannot be told."""
    looks: Sequence[Look]
    """All so far, this one included where it was tested."""
    tested: bool
    call: Outcome

    @property
    def bound(self) -> float:
        """Errors that count at this look, where it was tested."""
        return bound_of(self.looks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What follows from the data."""

    outcome: Outcome
    passing: Sequence[str]
    """The policies that may be shipped, best first: by the lower end of what they may be better by."""
    tests: Mapping[str, Test]
    sums: Mapping[str, Sums]
    """What was compared: less what is known of users from before."""
    split_p: float

    @property
    def final(self) -> bool:
        """Whether it stands: a split that is broken stays so, but figures can be made good."""
        if self.outcome is Outcome.INVALID:
            return self.split_p < DAILY_ALPHA
        return self.outcome in (Outcome.SHIP, Outcome.KILL, Outcome.ITERATE)


def find(question: Question, data: Data) -> Finding:
    """Invalid, rolled back, ship, kill, iterate or continue: the first that holds.

    A policy ships where its log lift exceeds 0 by b errors and is the uplift asked for or more; it is killed where even
    b errors more would leave it below that. b is the look's bound: alpha / n_policies is spent by O'Brien and Fleming's
    function of the share of days that has passed, and what earlier allocation epochs spent is gone. What counts first
    is kept: a policy that was killed stays so.

    The chance that any policy without an effect ships is at most alpha over all looks, policies and epochs: a look
    spends what has become due since the one before, so one that is missed or repeated spends nothing twice.
    """
    sums = without_past(data.sums, question.past)
    tests = {policy: _test(question, sums, policy) for policy in question.policies}
    # By what it exceeds 0 in errors of its bound: only those that passed, which few do.
    passing = sorted(
        (policy for policy, test in tests.items() if test.call is Outcome.SHIP),
        key=lambda policy: (-_lower(tests[policy]), policy),
    )
    split_p = stratified_p_value(data.strata)
    return Finding(
        outcome=_outcome(question, tests, split_p),
        passing=passing,
        tests=tests,
        sums=sums,
        split_p=split_p,
    )


def bound_of(looks: Sequence[Look]) -> float:
    """The bound of the last of these looks."""
    return float(bounds([each.information for each in looks], [each.spent for each in looks])[-1])


def spent_by(question: Question, day: int) -> float:
    """One-sided: what each policy may have spent in this allocation epoch by a day."""
    share = question.criteria.alpha / len(question.policies)
    due = float(obrien_fleming(min(day / question.last_day, 1.0), share))
    return max(due - question.spent_before / len(question.policies), 0.0)


def _outcome(question: Question, tests: Mapping[str, Test], split_p: float) -> Outcome:
    if question.problems or split_p < DAILY_ALPHA:
        return Outcome.INVALID
    if question.rolled_back:
        return Outcome.ROLLED_BACK
    calls = {test.call for test in tests.values()}
    if Outcome.SHIP in calls:
        return Outcome.SHIP
    if calls == {Outcome.KILL}:
        return Outcome.KILL
    over = question.over or question.day >= question.last_day
    return Outcome.ITERATE if over else Outcome.CONTINUE


def _test(question: Question, compared: Mapping[str, Sums], policy: str) -> Test:
    criteria = question.criteria
    sums, baseline = compared.get(policy, Sums()), compared.get(criteria.baseline, Sums())
    effect, earlier = log_lift(sums, baseline), question.looks.get(policy, ())
    killed = policy in question.killed
    enough = min(sums.m, baseline.m) >= criteria.min_events_per_policy
    ripe = question.epoch_days >= criteria.min_window_days
    if killed or effect is None or question.rolled_back or not (enough and ripe):
        call = Outcome.KILL if killed else Outcome.CONTINUE
        return Test(effect=effect, looks=earlier, tested=False, call=call)
    spent = max(spent_by(question, question.day), earlier[-1].spent if earlier else 0.0)
    look = Look(day=question.day, information=effect.information, spent=spent)
    looks = (*earlier, look)
    return Test(effect=effect, looks=looks, tested=True, call=_call(effect, looks, criteria))


def _call(effect: LogLift, looks: Sequence[Look], criteria: Criteria) -> Outcome:
    # No bound is below that of a single look with all that was spent by then, so most need no recursion.
    least = -float(special.ndtri(looks[-1].spent))
    if _beyond(effect, least, criteria) is Outcome.CONTINUE:
        return Outcome.CONTINUE
    return _beyond(effect, bound_of(looks), criteria)


def _beyond(effect: LogLift, bound: float, criteria: Criteria) -> Outcome:
    if effect.value > bound * effect.error and effect.lift >= criteria.min_uplift:
        return Outcome.SHIP
    if effect.value + bound * effect.error < math.log1p(criteria.min_uplift):
        return Outcome.KILL
    return Outcome.CONTINUE


def _lower(test: Test) -> float:
    assert test.effect is not None  # what passed was estimated
    return test.effect.value - test.bound * test.effect.error
