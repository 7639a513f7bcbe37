"""A verdict with all that is told beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pullarm.domain.assignment import MICRO
from pullarm.domain.numerals import numeral
from pullarm.domain.verdict import Look, Outcome, PolicyVerdict, Verdict
from pullarm.statistics import expected_loss
from pullarm.statistics.conditional_power import chance_above
from pullarm.statistics.group_sequential import bounds
from pullarm.statistics.ratio import LogLift, Sums, log_lift
from pullarm.statistics.shrinkage import shrunk
from pullarm.statistics.srm import DAILY_ALPHA
from pullarm.statistics.verdicts.rule import Data, Finding, Question, Test, find, spent_by

_DIGITS = 10
"""Significant ones that are told: the last ones depend on the machine, and a verdict is to be the same bytes on all."""
_BELIEF = 1.959963984540054  # 95 % of a normal


def judge(question: Question, data: Data) -> Verdict:
    """The verdict, rewards being in millionths; always the same of the same."""
    found = find(question, data)
    baseline = data.sums.get(question.criteria.baseline, Sums())
    policies = {
        name: _policy(question, test, data.sums.get(name, Sums()), baseline)
        for name, test in found.tests.items()
    }
    best, second = (*found.passing, "", "")[:2] if found.outcome is Outcome.SHIP else ("", "")
    over = _over_runner_up(found, best, second) if second else None
    spent = sum(test.looks[-1].spent for test in found.tests.values() if test.looks)
    return Verdict(
        outcome=found.outcome,
        final=found.final,
        why=_why(question, found, policies, over),
        policy=best,
        day=question.day,
        last_day=question.last_day,
        baseline_users=int(baseline.n),
        baseline_serves=int(baseline.m),
        baseline_rate=_rate(baseline),
        policies=policies,
        known_users=sum(each.n for each in question.past.values()),
        runner_up=second,
        over_runner_up=over,
        split_p=_told(found.split_p),
        spent=_told(question.spent_before + spent),
        alpha=_told(question.criteria.alpha),
    )


def _policy(question: Question, test: Test, sums: Sums, baseline: Sums) -> PolicyVerdict:
    effect, observed = test.effect, log_lift(sums, baseline)
    bound = test.bound if test.tested else None
    ahead = _ahead(question, test) if effect is not None else ()
    expected = None if effect is None else shrunk(effect)
    return PolicyVerdict(
        call=test.call,
        users=int(sums.n),
        serves=int(sums.m),
        rate=_rate(sums),
        lift=_maybe(effect.lift if effect else None),
        observed_lift=_maybe(observed.lift if observed else None),
        log_lift=_maybe(effect.value if effect else None),
        error=_maybe(effect.error if effect else None),
        bound=None if bound is None or math.isinf(bound) else _told(bound),
        interval=_interval(effect, bound),
        shrunk_lift=_maybe(expected.lift if expected else None),
        shrunk_interval=_interval(expected, _BELIEF),
        loss_of_shipping=_loss(expected, 1.0),
        loss_of_keeping=_loss(expected, -1.0),
        power=_power(question, effect, expected, ahead),
        days_to_ship=_days(question, test, ahead, Outcome.SHIP),
        days_to_kill=_days(question, test, ahead, Outcome.KILL),
        look=_look(test.looks[-1]) if test.tested else None,
    )


def _loss(expected: LogLift | None, sign: float) -> float | None:
    if expected is None:
        return None
    return _told(expected_loss.of_shipping(sign * expected.value, expected.error))


def _ahead(question: Question, test: Test) -> Sequence[tuple[Look, float]]:
    """The looks to come, one a day, with their bounds: information grows as it did, evenly over the epoch's days."""
    effect, criteria = test.effect, question.criteria
    if effect is None or question.over or question.epoch_days < 1:
        return ()
    waits = max(criteria.min_window_days - question.epoch_days, 1)
    days = range(question.day + waits, question.last_day + 1)
    earlier = list(test.looks)
    least = earlier[-1].spent if earlier else 0.0
    coming = [
        Look(
            day=day,
            information=effect.information
            * (question.epoch_days + day - question.day)
            / question.epoch_days,
            spent=max(spent_by(question, day), least),
        )
        for day in days
    ]
    if not coming or question.day >= question.last_day:
        return ()
    looks = [*earlier, *coming]
    limits = bounds([each.information for each in looks], [each.spent for each in looks])
    return list(zip(coming, limits[len(earlier) :].tolist(), strict=True))


def _power(
    question: Question,
    effect: LogLift | None,
    expected: LogLift | None,
    ahead: Sequence[tuple[Look, float]],
) -> float | None:
    if effect is None or expected is None or not ahead:
        return None
    last, bound = ahead[-1]
    least = math.log1p(question.criteria.min_uplift)
    limit = max(bound / math.sqrt(last.information), least)
    power = chance_above(effect, limit, information=last.information, drift=expected.value)
    return _told(power)


def _days(
    question: Question, test: Test, ahead: Sequence[tuple[Look, float]], call: Outcome
) -> int | None:
    effect = test.effect
    if effect is None or test.call is not Outcome.CONTINUE:
        return None
    least = math.log1p(question.criteria.min_uplift)
    for look, bound in ahead:
        reach = bound / math.sqrt(look.information)
        ships = effect.value > reach and effect.value >= least
        if ships if call is Outcome.SHIP else effect.value + reach < least:
            return look.day
    return None


def _over_runner_up(found: Finding, best: str, second: str) -> tuple[float, float] | None:
    return _interval(log_lift(found.sums[best], found.sums[second]), found.tests[best].bound)


def _why(
    question: Question,
    found: Finding,
    policies: dict[str, PolicyVerdict],
    over: tuple[float, float] | None,
) -> str:
    criteria, outcome = question.criteria, found.outcome
    if outcome is Outcome.INVALID:
        reasons = list(question.problems)
        if found.split_p < DAILY_ALPHA:
            reasons.append(
                f"users are not split between the policies as configured (p = {found.split_p:.2g}, below "
                f"{DAILY_ALPHA:g}): events of some are lost, or assignment is broken"
            )
        return "; ".join(reasons)
    if outcome is Outcome.ROLLED_BACK:
        return question.rolled_back
    if outcome is Outcome.SHIP:
        best, *others = found.passing
        beats = f"{best} beats {criteria.baseline}: {_said(policies[best])}"
        if not others:
            return beats
        better = over is not None and over[0] > 0.0
        return f"{beats}; {'it beats' if better else 'it is not shown to beat'} {others[0]}, which passes as well"
    if outcome is Outcome.KILL:
        return (
            f"no policy can be better than {criteria.baseline} by {100 * criteria.min_uplift:.3g} % or more: "
            + _all(policies)
        )
    return f"{_waits(question, found)}: {_all(policies)}"


def _waits(question: Question, found: Finding) -> str:
    criteria = question.criteria
    if found.outcome is Outcome.ITERATE:
        if not any(test.tested for test in found.tests.values()):
            return f"day {question.day} is the last, and the data are too few to test"
        return f"day {question.day} is the last, and neither ship nor kill can be said"
    if question.epoch_days < criteria.min_window_days:
        return f"{question.epoch_days} of the {criteria.min_window_days} days that it takes to test"
    if not any(test.tested for test in found.tests.values()):
        return f"some policy has less than {criteria.min_events_per_policy:,} serves, or no rewards"
    return f"neither ship nor kill can be said on day {question.day} of {question.last_day}"


def _all(policies: dict[str, PolicyVerdict]) -> str:
    return ", ".join(f"{name} {_said(each)}" for name, each in policies.items())


def _said(policy: PolicyVerdict) -> str:
    if policy.lift is None:
        return "cannot be told"
    low, high = (_percent(end) for end in policy.interval or (0.0, 0.0))
    between = f" ({low} to {high})" if policy.interval else ""
    return f"{_percent(policy.lift)}{between}"


def _percent(lift: float) -> str:
    return f"{numeral(100 * lift, '+.1f')} %"


def _interval(effect: LogLift | None, z: float | None) -> tuple[float, float] | None:
    if effect is None or z is None or math.isinf(z):
        return None
    low, high = effect.interval(z)
    return _told(low), _told(high)


def _look(look: Look) -> Look:
    return Look(day=look.day, information=_told(look.information), spent=_told(look.spent))


def _rate(sums: Sums) -> float | None:
    return _maybe(None if sums.ratio is None else sums.ratio / MICRO)


def _maybe(value: float | None) -> float | None:
    return None if value is None else _told(value)


def _told(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
