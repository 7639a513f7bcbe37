"""Shipping rules under daily looks: ours holds its error rate, the usual one does not."""

import numpy as np
import pytest

from pullarm.domain.verdict import Outcome
from pullarm.statistics.cuped import Covariate, adjusted
from pullarm.statistics.ratio import Sums
from pullarm.statistics.srm import DAILY_ALPHA, log_bayes_factor, p_value
from tests.statistics.population import DAYS, Users, days
from tests.statistics.verdicts import judged, rates


def test_without_an_effect_ours_ships_rarely_and_the_usual_rule_often() -> None:
    """1,000 times 1,000 users a policy; measured before: 0.026 and 0.370. The standard error of ours is 0.005."""
    found = rates(1_000, [1.0] * 3, range(10_000_000, 10_001_000))
    assert found.ours <= 0.045
    assert found.naive >= 0.30


def test_a_large_effect_is_shipped() -> None:
    """+20 % with 2,000 users a policy, 300 times; measured before: 0.812. The standard error is 0.023."""
    assert rates(2_000, [1.2], range(11_000_000, 11_000_300)).ours >= 0.77


def test_a_policy_that_is_worse_is_killed_and_not_shipped() -> None:
    found = rates(2_000, [0.75], range(12_000_000, 12_000_200))
    assert found.ours == 0.0
    assert found.killed >= 0.95


def test_what_loses_events_of_one_policy_is_invalid_and_never_shipped() -> None:
    """A policy that is 10 % better loses all events of 5 % of its users, or none; 40,000 users each."""
    for seed in range(13_000_000, 13_000_010):
        drawn = days(np.random.default_rng(seed), 40_000, [1.0, 1.10])
        kept = np.random.default_rng(seed + 100).random(drawn.m.shape[2]) >= 0.05
        outcomes = []
        for better in (drawn.m[:, 1], drawn.m[:, 1] * kept):
            sums = {
                "control": drawn.sums(0),
                "thompson": [
                    Sums.of(m, np.where(m > 0, c, 0.0))
                    for m, c in zip(better, drawn.c[:, 1], strict=True)
                ],
            }
            users = [
                {name: int(each[look].n) for name, each in sums.items()}
                for look in range(len(drawn.m))
            ]
            outcomes.append(judged(sums, policies=["thompson"], users=users).outcome)
        assert outcomes == [Outcome.SHIP, Outcome.INVALID]


def test_the_error_is_that_between_experiments() -> None:
    """The spread of ratios over 400 experiments is what one of them says, within 4 standard errors of 3.5 %."""
    drawn = [days(np.random.default_rng(seed), 500, [1.0]).sums(0)[-1] for seed in range(400)]
    ratios = [sums.ratio for sums in drawn if sums.ratio is not None]
    variances = [sums.variance for sums in drawn if sums.variance is not None]
    assert np.std(ratios) == pytest.approx(np.sqrt(np.mean(variances)), rel=0.14)
    # What takes impressions as independent is far off.
    naive = np.mean([0.12 * 0.88 / sums.m for sums in drawn])
    assert np.mean(variances) > 2.5 * naive


def test_what_users_did_before_ships_more_of_what_is_better() -> None:
    """+10 % with 4,000 users a policy, 150 times each: measured before, 0.70 and 0.48."""
    seeds = range(14_000_000, 14_000_150)
    known, unknown = (rates(4_000, [1.10], seeds, known=each).ours for each in (True, False))
    assert known >= unknown + 0.05


def test_without_an_effect_ours_ships_rarely_where_users_are_known() -> None:
    """600 times 1,000 users a policy. The standard error is 0.006."""
    assert rates(1_000, [1.0] * 3, range(10_000_000, 10_000_600), known=True).ours <= 0.05


def test_what_is_known_of_users_takes_a_third_off_the_variance() -> None:
    """40 % of users were there for 14 days before; measured before: 32 % less."""
    plain, better = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        users = Users.drawn(rng, 5_000)
        before = rng.poisson(users.visits * DAYS) * (users.arrived == 0)
        x = rng.binomial(before, users.rate).astype(float)
        x -= x.sum() / before.sum() * before
        m = rng.poisson(users.visits * (DAYS - users.arrived))
        c = rng.binomial(m, users.rate)
        (less,) = adjusted([(Sums.of(m, c), Covariate.of(m, c, x))])
        plain.append(Sums.of(m, c).variance or 0.0)
        better.append(less.variance or 0.0)
    assert np.mean(better) / np.mean(plain) == pytest.approx(0.68, abs=0.06)


def daily_users(share: float, runs: int) -> list[list[list[int]]]:
    """Users so far of four policies of which the first has `share`, 700 more a day: (runs, days, policies)."""
    others = (1.0 - share) / 3.0
    drawn = np.random.default_rng(424242).multinomial(700, [share] + [others] * 3, (runs, DAYS))
    found: list[list[list[int]]] = drawn.cumsum(axis=1).tolist()
    return found


@pytest.mark.parametrize(("share", "least", "most"), [(0.25, 0.0, 0.012), (0.28, 0.99, 1.0)])
def test_a_broken_split_is_blamed_and_a_sound_one_is_not(
    share: float, least: float, most: float
) -> None:
    """Any day's chi-square at 0.001; measured before: 0.008 and 0.999."""
    blamed = [
        any(p_value(users, [1.0] * 4) < DAILY_ALPHA for users in run)
        for run in daily_users(share, 2_000)
    ]
    assert least <= np.mean(blamed) <= most


@pytest.mark.parametrize(("share", "least", "most"), [(0.25, 0.0, 0.01), (0.28, 0.98, 1.0)])
def test_the_sequential_test_of_a_split_holds_its_level(
    share: float, least: float, most: float
) -> None:
    """At 0.01 over all days; measured before: 0.003 and 0.998."""
    blamed = [
        any(log_bayes_factor(users, [1.0] * 4) >= np.log(100.0) for users in run)
        for run in daily_users(share, 1_000)
    ]
    assert least <= np.mean(blamed) <= most
