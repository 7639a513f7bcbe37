"""Each guardrail on counters that a reader can check: which way it is judged, and what it says."""

import math
from dataclasses import replace

import numpy as np
import pytest

from pullarm.domain.guardrail import (
    NAMES,
    Action,
    Check,
    Guardrail,
    Guardrails,
    Verdict,
    rollback_reason,
)
from pullarm.statistics.guardrails.checks import checks
from pullarm.statistics.guardrails.readings import Arms, Draws, Hour, Readings
from pullarm.statistics.ratio import Sums

MICRO = 1_000_000
DAY_S = 86_400.0


def sums(users: int, rate: float) -> Sums:
    """Users with ten serves each, and a reward for the first ones of them."""
    rewarded = round(users * 10 * rate)
    return Sums(
        n=users,
        m=users * 10,
        c=rewarded * MICRO,
        mm=users * 100,
        cc=rewarded * MICRO**2,
        mc=rewarded * 10 * MICRO,
    )


HOUR = Hour(calls=1_000, errors=2, worst_errors=1, over_warning=20, over_limit=10, rewards=200)
SOUND = Readings(
    age_s=DAY_S,
    shares={"thompson": 0.5, "control": 0.5},
    hours={
        policy: {hour: replace(HOUR, p95_ms=80.0) for hour in range(25)}
        for policy in ("thompson", "control")
    },
    sums={"thompson": {0: sums(5_000, 0.05)}, "control": {0: sums(5_000, 0.05)}},
    users={"thompson": 5_000, "control": 5_000},
    arms={
        "thompson": Arms(
            serves={1: 300, 2: 400, 3: 300},
            posterior={
                1: (900, 90 * MICRO),
                2: (1_200, 240 * MICRO),
                3: (900, 90 * MICRO),
            },
        )
    },
    draws={"thompson": Draws(n=10_000, x=3.0, xx=9_000.0)},
    silent_s=12.0,
)


def made(readings: Readings, guardrails: Guardrails | None = None) -> dict[str, Check]:
    found = checks(readings, guardrails or Guardrails())
    assert [check.guardrail for check in found] == list(NAMES)
    return {check.guardrail: check for check in found}


def test_sound_counters_pass_but_for_an_arm_that_is_served_much() -> None:
    found = made(SOUND)
    verdicts = {name: check.verdict for name, check in found.items()}
    assert verdicts.pop("arm_concentration") is Verdict.WARN
    assert set(verdicts.values()) == {Verdict.PASS}
    told = found["arm_concentration"]
    assert (told.value, told.details["arm_no"]) == (0.4, 2)
    assert told.details["probability_best"] == pytest.approx(1.0, abs=1e-6)
    assert told.details["entropy"] == pytest.approx(
        -sum(p * math.log(p) for p in (0.3, 0.4, 0.3)) / math.log(3)
    )
    assert found["latency_p95"].value == 80.0
    assert found["error_rate"].sample == 25_000


def test_errors_of_one_policy_fail_and_those_of_a_single_minute_do_not() -> None:
    hours = dict(SOUND.hours)
    healthy = hours["thompson"]
    hours["thompson"] = {**healthy, 24: replace(HOUR, errors=60, worst_errors=4)}
    found = made(replace(SOUND, hours=hours))["error_rate"]
    assert (found.verdict, found.policy) == (Verdict.FAIL, "thompson")
    assert found.why == "thompson has 0.031 in the last hour; the limit is 0.01"
    hours["thompson"] = {**healthy, 24: replace(HOUR, errors=60, worst_errors=60)}
    assert made(replace(SOUND, hours=hours))["error_rate"].verdict is Verdict.PASS


def test_a_threshold_between_a_warning_and_the_limit_warns() -> None:
    hours = {"control": {hour: replace(HOUR, errors=8, worst_errors=1) for hour in range(25)}}
    assert made(replace(SOUND, hours=hours))["error_rate"].verdict is Verdict.WARN


def test_slow_answers_fail_by_their_share_whatever_the_percentile_of_the_hour() -> None:
    hours = {"control": {hour: replace(HOUR, over_limit=80, p95_ms=119.0) for hour in range(25)}}
    found = made(replace(SOUND, hours=hours))["latency_p95"]
    assert (found.verdict, found.value) == (Verdict.FAIL, 119.0)


def test_rewards_that_are_refused_warn_only() -> None:
    hours = {"control": {hour: replace(HOUR, refused=100, worst_refused=2) for hour in range(25)}}
    found = made(replace(SOUND, hours=hours))["refused_rewards"]
    assert (found.verdict, found.failing) == (Verdict.FAIL, False)


def test_a_drop_fails_and_a_rise_or_too_little_does_not() -> None:
    for rate, verdict in ((0.03, Verdict.FAIL), (0.07, Verdict.PASS)):
        readings = replace(SOUND, sums={**SOUND.sums, "thompson": {0: sums(5_000, rate)}})
        assert made(readings)["reward_drop"].verdict is verdict
    few = {"thompson": {0: sums(50, 0.05)}, "control": {0: sums(5_000, 0.05)}}
    found = made(replace(SOUND, sums=few))["reward_drop"]
    assert (found.verdict, found.why) == (
        Verdict.UNKNOWN,
        "too few rewards to compare with control's",
    )


def test_a_drop_beyond_the_limit_that_may_be_chance_passes_and_says_so() -> None:
    found = made(replace(SOUND, sums={**SOUND.sums, "thompson": {0: sums(1_000, 0.045)}}))
    drop = found["reward_drop"]
    assert (drop.verdict, drop.uncertain) == (Verdict.PASS, True)
    assert drop.value == pytest.approx(0.1)
    assert not any(check.uncertain for name, check in found.items() if name != "reward_drop")
    proved = made(replace(SOUND, sums={**SOUND.sums, "thompson": {0: sums(5_000, 0.03)}}))
    assert not proved["reward_drop"].uncertain


def test_without_control_nothing_is_compared() -> None:
    alone = replace(SOUND, shares={"thompson": 1.0})
    found = made(alone)
    assert (found["reward_drop"].verdict, found["sample_ratio"].verdict) == (
        Verdict.OFF,
        Verdict.OFF,
    )


def test_a_split_that_is_not_the_configured_one_fails() -> None:
    readings = replace(SOUND, users={"thompson": 4_500, "control": 5_000})
    found = made(readings)["sample_ratio"]
    assert found.verdict is Verdict.FAIL
    assert found.value is not None
    assert found.value < 0.01
    assert "thompson 47.4%, control 52.6%" in found.why


@pytest.mark.parametrize(("tilt", "verdict"), [(1.0, Verdict.PASS), (1.2, Verdict.FAIL)])
def test_draws_are_held_against_their_propensities(tilt: float, verdict: Verdict) -> None:
    """The first of four arms, of logged propensity 0.7, is drawn `tilt` times as often."""
    logged = np.array([0.7, 0.1, 0.1, 0.1])
    true = np.array([0.7 * tilt, *[(1.0 - 0.7 * tilt) / 3] * 3])
    drawn = np.random.default_rng(11).choice(4, 20_000, p=true)
    x = 1.0 / (4.0 * logged[drawn]) - 1.0
    draws = {"thompson": Draws(n=len(x), x=float(x.sum()), xx=float(x @ x))}
    assert made(replace(SOUND, draws=draws))["propensity"].verdict is verdict


def test_figures_that_are_behind_make_unknown_what_rests_on_them() -> None:
    found = made(replace(SOUND, behind_s=301.0))
    unknown = {name for name, check in found.items() if check.verdict is Verdict.UNKNOWN}
    assert unknown == {"reward_drop", "arm_concentration", "sample_ratio", "propensity"}
    assert found["worker_lag"].verdict is Verdict.FAIL
    assert made(replace(SOUND, behind_s=100.0))["worker_lag"].verdict is Verdict.WARN


def test_silence_makes_everything_unknown() -> None:
    for silent_s in (901.0, None):
        found = made(replace(SOUND, silent_s=silent_s))
        assert {check.verdict for check in found.values()} == {Verdict.UNKNOWN}
    young = made(Readings(age_s=60.0, shares=SOUND.shares))
    assert young["worker_lag"].verdict is Verdict.PASS
    assert young["error_rate"].why == "there are no calls yet"


def test_what_is_off_is_not_judged() -> None:
    off = Guardrails(error_rate=Guardrail(0.005, 0.01, Action.OFF))
    hours = {"control": {hour: replace(HOUR, errors=900) for hour in range(25)}}
    found = made(replace(SOUND, hours=hours), off)["error_rate"]
    assert (found.verdict, found.failing) == (Verdict.OFF, False)


@pytest.mark.parametrize(
    ("actions", "rolls_back"),
    [
        ((Action.CRITICAL,), True),
        ((Action.COUNT,), False),
        ((Action.COUNT, Action.COUNT), True),
        ((Action.COUNT, Action.WARN), False),
        ((Action.WARN, Action.WARN), False),
    ],
)
def test_two_that_count_or_a_critical_one_call_for_a_rollback(
    actions: tuple[Action, ...], rolls_back: bool
) -> None:
    failed = [
        Check(
            guardrail=name,
            verdict=Verdict.FAIL,
            configured=Guardrail(0.1, 0.2, action),
            why="bad",
        )
        for name, action in zip(NAMES, actions, strict=False)
    ]
    warned = Check(
        guardrail="propensity",
        verdict=Verdict.WARN,
        configured=Guardrail(0.1, 0.2, Action.CRITICAL),
    )
    assert bool(rollback_reason([*failed, warned])) is rolls_back
