"""The rule that ships and kills, look by look, and what is told beside it."""

import math
from dataclasses import replace
from statistics import NormalDist

import msgspec
import numpy as np
import pytest

from pullarm.domain.verdict import Criteria, Look, Outcome
from pullarm.statistics.conditional_power import chance_above
from pullarm.statistics.group_sequential import bounds, obrien_fleming
from pullarm.statistics.ratio import LogLift, Sums
from pullarm.statistics.verdicts.evidence import judge
from pullarm.statistics.verdicts.rule import Data, Question, find, spent_by

ALPHA = 0.025


def question(**given: object) -> Question:
    """Day 10 of 14, of thompson alone, never looked at before, unless told otherwise."""
    base = {"policies": ["thompson"], "day": 10, "epoch_days": 10, "last_day": 14, "over": False}
    return msgspec.convert({"criteria": Criteria(), **base, **given}, Question)


def sums(rate: float, users: int = 20_000, serves: int = 5) -> Sums:
    """Users with so many serves each, of which 0 or all are rewarded, in millionths."""
    m = np.full(users, serves)
    c = np.where(np.arange(users) < rate * users, serves * 1_000_000, 0)
    whole = Sums.of(m, c)
    return Sums(**{name: round(getattr(whole, name)) for name in ("n", "m", "c", "mm", "cc", "mc")})


def data(control: float = 0.10, *, users: int = 20_000, **policies: float) -> Data:
    found = {"control": sums(control, users)}
    return Data(sums=found | {name: sums(rate, users) for name, rate in policies.items()})


@pytest.mark.parametrize(
    ("rate", "outcome"),
    [(0.12, Outcome.SHIP), (0.104, Outcome.CONTINUE), (0.09, Outcome.KILL)],
)
def test_first_outcome_is_by_the_bound_on_either_side(rate: float, outcome: Outcome) -> None:
    found = find(question(), data(thompson=rate))
    assert found.outcome is outcome
    test = found.tests["thompson"]
    spent = obrien_fleming(10 / 14, ALPHA)
    assert test.bound == pytest.approx(-NormalDist().inv_cdf(float(spent)))
    assert found.passing == (["thompson"] if outcome is Outcome.SHIP else [])


def test_a_significant_lift_below_the_uplift_asked_for_is_not_shipped() -> None:
    large = data(thompson=0.102, users=3_000_000)
    found = find(question(), large)
    assert found.tests["thompson"].effect is not None
    assert found.tests["thompson"].effect.z > found.tests["thompson"].bound
    assert found.outcome is Outcome.KILL  # it cannot be 3 % either
    lower = replace(question(), criteria=Criteria(min_uplift=0.01))
    assert find(lower, large).outcome is Outcome.SHIP


@pytest.mark.parametrize(
    ("given", "rate", "outcome"),
    [
        ({"problems": ["the ledger differs"], "rolled_back": "errors"}, 0.2, Outcome.INVALID),
        ({"rolled_back": "errors"}, 0.2, Outcome.ROLLED_BACK),
        ({"over": True}, 0.2, Outcome.SHIP),
        ({"over": True}, 0.104, Outcome.ITERATE),
        ({"day": 14, "epoch_days": 14}, 0.104, Outcome.ITERATE),
        ({"day": 6, "epoch_days": 6}, 0.2, Outcome.CONTINUE),
        ({"epoch_days": 6}, 0.2, Outcome.CONTINUE),
        ({"criteria": Criteria(min_events_per_policy=100_001)}, 0.2, Outcome.CONTINUE),
    ],
)
def test_first_of_the_outcomes_that_hold_is_told(
    given: dict[str, object], rate: float, outcome: Outcome
) -> None:
    verdict = judge(question(**given), data(thompson=rate))
    assert verdict.outcome is outcome
    assert verdict.why
    assert (verdict.policy == "thompson") is (outcome is Outcome.SHIP)


def test_broken_split_is_invalid_whatever_else_holds() -> None:
    lost = replace(data(thompson=0.2), strata=[([20_000, 19_000], [0.5, 0.5])])
    verdict = judge(question(rolled_back="errors"), lost)
    assert verdict.outcome is Outcome.INVALID
    assert "not split" in verdict.why
    sound = replace(data(thompson=0.2), strata=[([20_000, 19_900], [0.5, 0.5]), ([0, 0], [1, 3])])
    assert judge(question(), sound).outcome is Outcome.SHIP


def test_killed_policy_stays_so_and_all_are_needed_to_kill() -> None:
    both = replace(question(), policies=["thompson", "ucb"], killed=["ucb"])
    found = find(both, data(thompson=0.104, ucb=0.2))
    assert found.outcome is Outcome.CONTINUE
    assert not found.tests["ucb"].tested
    assert find(both, data(thompson=0.09, ucb=0.2)).outcome is Outcome.KILL


def test_best_of_those_that_pass_is_by_its_lower_end() -> None:
    several = replace(question(), policies=["egreedy", "thompson", "ucb"])
    found = data(thompson=0.13, ucb=0.125, egreedy=0.10)
    # Larger, but of few users.
    few = replace(found, sums={**found.sums, "egreedy": sums(0.14, users=1_000)})
    verdict = judge(several, few)
    assert (verdict.policy, verdict.runner_up) == ("thompson", "ucb")
    assert verdict.over_runner_up is not None
    assert verdict.over_runner_up[0] < 0 < verdict.over_runner_up[1]
    assert "not shown to beat ucb" in verdict.why


def test_looks_spend_what_became_due_since_the_last_one_whichever_were_missed() -> None:
    effect_of = data(thompson=0.104)
    by_hand = {day: float(obrien_fleming(day / 14, ALPHA)) for day in (7, 9, 14)}
    looks: dict[str, tuple[Look, ...]] = {}
    for day in (7, 9, 14):
        found = find(replace(question(day=day, epoch_days=day), looks=looks), effect_of)
        looks = {name: tuple(test.looks) for name, test in found.tests.items()}
    assert [(look.day, look.spent) for look in looks["thompson"]] == list(by_hand.items())
    expected = bounds([look.information for look in looks["thompson"]], list(by_hand.values()))
    assert found.tests["thompson"].bound == pytest.approx(expected[-1])


def test_what_earlier_epochs_spent_is_gone() -> None:
    three = question(policies=["egreedy", "thompson", "ucb"], spent_before=0.010)
    assert spent_by(three, 14) == pytest.approx((ALPHA - 0.010) / 3)
    assert spent_by(three, 7) == 0.0
    # Nothing is left: what is far beyond any bound is not shipped.
    assert find(question(spent_before=ALPHA), data(thompson=0.2)).outcome is Outcome.CONTINUE
    verdict = judge(question(spent_before=0.005), data(thompson=0.104))
    assert 0.005 < verdict.spent < verdict.alpha == ALPHA


def test_policy_without_data_or_rewards_cannot_be_told_and_is_no_look() -> None:
    for nothing in (data(), data(thompson=0.0)):
        verdict = judge(question(), nothing)
        told = verdict.policies["thompson"]
        assert verdict.outcome is Outcome.CONTINUE
        assert (told.look, told.lift, told.interval, told.power) == (None, None, None, None)
        assert "cannot be told" in verdict.why


def test_figures_are_those_of_the_methods() -> None:
    verdict = judge(question(), data(thompson=0.104))
    told = verdict.policies["thompson"]
    assert (told.users, told.serves, told.rate) == (20_000, 100_000, 0.104)
    assert told.lift == pytest.approx(0.04)
    assert told.error is not None
    assert told.bound is not None
    assert told.interval == pytest.approx(
        (
            1.04 * math.exp(-told.bound * told.error) - 1,
            1.04 * math.exp(told.bound * told.error) - 1,
        )
    )
    weight = 0.03**2 / (0.03**2 + told.error**2)
    assert told.shrunk_lift == pytest.approx(1.04**weight - 1)
    assert told.loss_of_keeping is not None
    assert told.loss_of_shipping is not None
    assert told.loss_of_keeping - told.loss_of_shipping == pytest.approx(weight * math.log(1.04))


def test_what_more_data_would_bring() -> None:
    """0.104 is 4 %: not beyond the bound of day 10, and beyond that of day 14 only where that is close."""
    near = judge(question(), data(thompson=0.1055)).policies["thompson"]
    assert near.call is Outcome.CONTINUE
    assert near.days_to_ship is not None
    assert 10 < near.days_to_ship <= 14
    assert near.days_to_kill is None
    assert near.power is not None
    assert 0.2 < near.power < 0.9
    far = judge(question(), data(thompson=0.100)).policies["thompson"]
    assert far.power is not None
    assert far.power < 0.1
    assert far.days_to_ship is None
    last = judge(question(day=14, epoch_days=14), data(thompson=0.104)).policies["thompson"]
    assert (last.power, last.days_to_ship) == (None, None)


def test_chance_at_a_later_look_is_that_of_estimates_drawn_forward() -> None:
    """By 100,000 draws of the data between; 5 standard errors are 0.008."""
    effect, later, drift, limit = LogLift(0.02, 0.02), 6_000.0, 0.03, 0.035
    gained = later - effect.information
    more = np.random.default_rng(3).normal(gained * drift, math.sqrt(gained), 100_000)
    estimates = (effect.information * effect.value + more) / later
    chance = chance_above(effect, limit, information=later, drift=drift)
    assert chance == pytest.approx((estimates > limit).mean(), abs=0.008)
    with pytest.raises(ValueError, match="more than"):
        chance_above(effect, limit, information=2_500.0, drift=drift)


def test_same_question_and_data_are_the_same_bytes_after_a_round_trip() -> None:
    asked = question(looks={"thompson": [Look(day=9, information=2_000.123, spent=0.001)]})
    again = msgspec.json.decode(msgspec.json.encode(asked), type=Question)
    first, second = (judge(each, data(thompson=0.104)) for each in (asked, again))
    assert msgspec.json.encode(first) == msgspec.json.encode(second)
