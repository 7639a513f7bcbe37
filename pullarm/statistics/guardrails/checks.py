"""From stored counters to the verdicts of all guardrails."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from pullarm.domain.assignment import MICRO
from pullarm.domain.guardrail import Action, Check, Guardrail, Guardrails, Verdict
from pullarm.statistics import srm
from pullarm.statistics.bernoulli import SLOW
from pullarm.statistics.e_values import threshold
from pullarm.statistics.guardrails import concentration, share
from pullarm.statistics.guardrails.drop import EVERY_TWO_DAYS, Found, drop
from pullarm.statistics.guardrails.readings import HOUR_S, PERIOD_S, Draws, Hour, Readings
from pullarm.statistics.mixture import log_e
from pullarm.statistics.ratio import Sums

BASELINE = "control"
SLOW_SHARE = 0.05
"""The 95th percentile lies above a limit where more than 5 % of the calls do."""
SETTLING_S = 900.0
"""How long a guard epoch may be silent before that says anything."""
DRAWS_TAU = 0.02
"""The calibration error, as a share of the propensities, that is found soonest."""
LEAST_DRAWS = 1_000
LEAST_USERS = 100

_Of = Callable[[Hour], tuple[int, int, int]]
"""(counted, of them in the worst minute, all)."""


def checks(readings: Readings, guardrails: Guardrails) -> list[Check]:
    """One check for each guardrail."""
    silence, behind = _silence(readings), _behind(readings, guardrails.worker_lag.limit)
    found = []
    for name, guardrail in guardrails:
        if guardrail.action is Action.OFF:
            check = Check(guardrail=name, verdict=Verdict.OFF, configured=guardrail, why="is off")
        else:
            check = _CHECKS[name](name, guardrail, readings)
        stale = silence or (behind if name in _OF_FIGURES else "")
        if stale and name != "worker_lag" and check.verdict is not Verdict.OFF:
            check = replace(check, verdict=Verdict.UNKNOWN, why=stale)
        found.append(check)
    return found


def drops(readings: Readings) -> dict[str, Found]:
    """What the tests for a drop say of each policy that is compared with control."""
    others = [policy for policy in readings.shares if policy != BASELINE]
    starts, _ = EVERY_TWO_DAYS.begun(readings.age_s)
    control = readings.sums.get(BASELINE, {})
    nothing = Sums()
    return {
        policy: drop(
            [
                (
                    readings.sums.get(policy, {}).get(start, nothing),
                    control.get(start, nothing),
                )
                for start in range(len(starts))
            ],
            readings.age_s,
            reward=MICRO,
        )
        for policy in others
    }


def _behind(readings: Readings, limit_s: float) -> str:
    if readings.behind_s <= limit_s:
        return ""
    return f"the figures are {readings.behind_s:.0f} s behind what came"


def _silence(readings: Readings) -> str:
    silent = readings.age_s if readings.silent_s is None else readings.silent_s
    return f"nothing was heard for {silent:.0f} s" if silent > SETTLING_S else ""


def _share(
    of: tuple[_Of, _Of],
    prior: Callable[[float], tuple[float, float]],
    limits: tuple[float, float] | None,
    name: str,
    guardrail: Guardrail,
    readings: Readings,
) -> Check:
    """A share of events by policy: `of` tells what counts against the warning, and against the limit."""
    at_most = limits or (guardrail.warning, guardrail.limit)
    hours = int(readings.age_s % PERIOD_S) // HOUR_S + 1
    policies = [policy for policy in readings.hours if readings.hours[policy]]
    if not policies:
        return _unknown(name, guardrail, _silence(readings) or "there are no calls yet")
    told = []
    for counted, allowed in zip(of, at_most, strict=True):
        rows = [
            [counted(readings.hours[policy].get(hour, Hour())) for hour in range(hours)]
            for policy in policies
        ]
        k, worst, n = ([[each[i] for each in row] for row in rows] for i in range(3))
        told.append(
            share.log_e(k, worst, n, readings.age_s, at_most=allowed, prior=prior(allowed)).tolist()
        )
    recent = {policy: _recent(readings.hours[policy], hours - 1, of[1]) for policy in policies}
    place = max(range(len(policies)), key=lambda i: (told[1][i], told[0][i]))
    worst_policy, (warned, failed) = policies[place], (told[0][place], told[1][place])
    verdict = _verdict(warned >= share.NEEDED, failed >= share.NEEDED)
    values: Mapping[str, float | None] = recent
    unit = ""
    if name == "latency_p95":
        values, unit = {p: _p95(readings.hours[p], hours - 1) for p in policies}, " ms"
    value = values[worst_policy]
    told_value = "-" if value is None else f"{value:.4g}{unit}"
    return Check(
        guardrail=name,
        verdict=verdict,
        configured=guardrail,
        policy=worst_policy,
        value=value,
        log_e=failed,
        needed=share.NEEDED,
        sample=sum(of[1](each)[2] for each in readings.hours[worst_policy].values()),
        why=f"{worst_policy} has {told_value} in the last hour; the limit is {guardrail.limit:g}{unit}",
        policies=values,
    )


def _recent(hours: Mapping[int, Hour], newest: int, of: _Of) -> float | None:
    """Of the newest hour and the one before."""
    told = [of(hours[hour]) for hour in (newest - 1, newest) if hour in hours]
    n = sum(each[2] for each in told)
    return sum(each[0] for each in told) / n if n else None


def _p95(hours: Mapping[int, Hour], newest: int) -> float | None:
    told = (hours[hour].p95_ms for hour in (newest, newest - 1) if hour in hours)
    return next((each for each in told if each is not None), None)


def _errors(hour: Hour) -> tuple[int, int, int]:
    return hour.errors, hour.worst_errors, hour.calls


def _over_warning(hour: Hour) -> tuple[int, int, int]:
    return hour.over_warning, hour.worst_over_warning, hour.calls


def _over_limit(hour: Hour) -> tuple[int, int, int]:
    return hour.over_limit, hour.worst_over_limit, hour.calls


def _refused(hour: Hour) -> tuple[int, int, int]:
    return hour.refused, hour.worst_refused, hour.rewards


def _prior(worth: float, times: float, at_most: float) -> tuple[float, float]:
    """Beta parameters that are worth so many events, with a mean of so many times the share allowed."""
    a = worth * min(times * at_most, (1.0 + at_most) / 2.0)
    return a, worth - a


def _drop(name: str, guardrail: Guardrail, readings: Readings) -> Check:
    if BASELINE not in readings.shares:
        return Check(
            guardrail=name,
            verdict=Verdict.OFF,
            configured=guardrail,
            why=f"there is no {BASELINE} to compare with",
        )
    found = drops(readings)
    can_tell = {policy: each for policy, each in found.items() if each.lift is not None}
    if not can_tell:
        return _unknown(name, guardrail, "too few rewards to compare with control's")
    policy = max(
        can_tell, key=lambda each: (can_tell[each].below(guardrail.limit), can_tell[each].log_e)
    )
    worst = can_tell[policy]
    value = -(worst.lift or 0.0)
    below = "below" if value > 0 else "above"
    return Check(
        guardrail=name,
        verdict=_verdict(worst.below(guardrail.warning), worst.below(guardrail.limit)),
        configured=guardrail,
        policy=policy,
        value=value,
        log_e=worst.log_e,
        needed=worst.needed,
        sample=int(readings.sums[policy][0].m) if 0 in readings.sums[policy] else 0,
        why=f"{policy} is {abs(value):.1%} {below} control since its worst start, with ln(E) {worst.log_e:.1f} of "
        f"{worst.needed:.1f}; the limit is {guardrail.limit:.0%}",
        policies={p: None if each.lift is None else -each.lift for p, each in found.items()},
    )


def _concentration(name: str, guardrail: Guardrail, readings: Readings) -> Check:
    told = {
        policy: concentration.of(arms)
        for policy, arms in readings.arms.items()
        if policy != BASELINE and arms.serves
    }
    if not told:
        return _unknown(name, guardrail, "no policy that learns served anything in the last day")
    policy = max(told, key=lambda each: told[each].share)
    worst = told[policy]
    return Check(
        guardrail=name,
        verdict=_verdict(worst.share >= guardrail.warning, worst.share >= guardrail.limit),
        configured=guardrail,
        policy=policy,
        value=worst.share,
        sample=sum(readings.arms[policy].serves.values()),
        why=f"arm number {worst.arm_no} has {worst.share:.1%} of {policy}'s serves of the last day; the limit is "
        f"{guardrail.limit:.0%}, and convergence is what a bandit is for",
        policies={p: each.share for p, each in told.items()},
        details={
            "arm_no": worst.arm_no,
            "probability_best": worst.probability_best,
            "entropy": worst.entropy,
        },
    )


def _sample_ratio(name: str, guardrail: Guardrail, readings: Readings) -> Check:
    users = {policy: readings.users.get(policy, 0) for policy in readings.shares}
    if len(users) < 2:
        return Check(
            guardrail=name,
            verdict=Verdict.OFF,
            configured=guardrail,
            why="there is one policy only",
        )
    total = sum(users.values())
    if total < LEAST_USERS:
        return _unknown(name, guardrail, f"{total} users are too few")
    evidence = srm.log_bayes_factor(list(users.values()), list(readings.shares.values()))
    split = ", ".join(f"{policy} {count / total:.1%}" for policy, count in users.items())
    return _by_p_value(name, guardrail, evidence, total, f"users are split {split}")


def _propensity(name: str, guardrail: Guardrail, readings: Readings) -> Check:
    told = {p: _miscalibrated(draws) for p, draws in readings.draws.items()}
    known = {policy: each for policy, each in told.items() if each is not None}
    if not known:
        return _unknown(
            name, guardrail, f"fewer than {LEAST_DRAWS} draws whose propensities are known"
        )
    policy = max(known, key=lambda each: known[each])
    draws = readings.draws[policy]
    check = _by_p_value(
        name,
        guardrail,
        known[policy] - math.log(len(known)),
        draws.n,
        f"the mean of 1 / propensity over {policy}'s draws is {1 + draws.x / draws.n:.4f} of what it has to be",
    )
    return replace(
        check,
        policy=policy,
        policies={p: 1 + each.x / each.n for p, each in readings.draws.items() if each.n},
    )


def _miscalibrated(draws: Draws) -> float | None:
    if draws.n < LEAST_DRAWS or draws.xx <= 0.0:
        return None
    error = math.sqrt(draws.xx) / draws.n
    return float(log_e(draws.x / draws.n, error, tau=DRAWS_TAU))


def _worker_lag(name: str, guardrail: Guardrail, readings: Readings) -> Check:
    silent, behind = readings.silent_s, readings.behind_s
    if why := _silence(readings):
        check = _unknown(name, guardrail, f"{why}: no traffic, or the workers lag")
        return replace(check, value=readings.age_s if silent is None else silent)
    return Check(
        guardrail=name,
        verdict=_verdict(behind >= guardrail.warning, behind >= guardrail.limit),
        configured=guardrail,
        value=behind,
        why=f"the figures are {behind:.0f} s behind; the limit is {guardrail.limit:g} s",
    )


def _by_p_value(name: str, guardrail: Guardrail, evidence: float, sample: int, what: str) -> Check:
    p_value = math.exp(-max(evidence, 0.0))
    return Check(
        guardrail=name,
        verdict=_verdict(p_value <= guardrail.warning, p_value <= guardrail.limit),
        configured=guardrail,
        value=p_value,
        log_e=evidence,
        needed=threshold(guardrail.limit),
        sample=sample,
        why=f"{what} (p = {p_value:.3g} at any time; the limit is {guardrail.limit:g})",
    )


def _verdict(warns: bool, fails: bool) -> Verdict:
    return Verdict.FAIL if fails else Verdict.WARN if warns else Verdict.PASS


def _unknown(name: str, guardrail: Guardrail, why: str) -> Check:
    return Check(guardrail=name, verdict=Verdict.UNKNOWN, configured=guardrail, why=why)


_CHECKS: Mapping[str, Callable[[str, Guardrail, Readings], Check]] = {
    "error_rate": partial(_share, (_errors, _errors), partial(_prior, 100.0, 2.0), None),
    "latency_p95": partial(
        _share, (_over_warning, _over_limit), lambda _: SLOW, (SLOW_SHARE, SLOW_SHARE)
    ),
    "reward_drop": _drop,
    "arm_concentration": _concentration,
    "sample_ratio": _sample_ratio,
    "propensity": _propensity,
    "refused_rewards": partial(_share, (_refused, _refused), partial(_prior, 50.0, 1.6), None),
    "worker_lag": _worker_lag,
}
_OF_FIGURES = ("reward_drop", "arm_concentration", "sample_ratio", "propensity")
