"""CUPED as a change of rewards, against an explicit regression user by user."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pullarm.statistics.cuped import Covariate, adjusted, without_past
from pullarm.statistics.ratio import Sums, log_lift
from tests.statistics.population import past


def users(seed: int, n: int = 400) -> tuple[NDArray[np.float64], ...]:
    """Impressions, rewards and earlier rewards beyond the average; a tenth were not seen, a third are new."""
    rng = np.random.default_rng(seed)
    rate = rng.beta(1.1, 7.9, n)
    m = rng.poisson(3.0, n) * (rng.random(n) > 0.1)
    before = rng.poisson(6.0, n) * (rng.random(n) > 0.33)
    x = rng.binomial(before, rate) - 0.12 * before
    return m.astype(float), rng.binomial(m, rate).astype(float), x


POLICIES = [users(seed) for seed in (1, 2, 3)]


def test_the_sums_are_those_of_the_adjusted_rewards() -> None:
    """theta from a regression of each user's c - R m on x, with an intercept for each policy."""
    outcomes, columns, means = [], [], []
    for number, (m, c, x) in enumerate(POLICIES):
        seen = m > 0
        ratio = c.sum() / m.sum()
        outcomes.append((c - ratio * m)[seen])
        intercepts = np.zeros((seen.sum(), len(POLICIES)))
        intercepts[:, number] = 1.0
        columns.append(np.column_stack([x[seen], intercepts]))
        means.append(x[seen])
    theta = np.linalg.lstsq(np.vstack(columns), np.concatenate(outcomes), rcond=None)[0][0]
    mean = np.concatenate(means).mean()
    found = adjusted([(Sums.of(m, c), Covariate.of(m, c, x)) for m, c, x in POLICIES])
    for sums, (m, c, x) in zip(found, POLICIES, strict=True):
        by_hand = Sums.of(m, np.where(m > 0, c - theta * (x - mean), 0.0))
        assert [sums.n, sums.m, sums.mm] == [by_hand.n, by_hand.m, by_hand.mm]
        assert sums.c == pytest.approx(by_hand.c)
        assert sums.cc == pytest.approx(by_hand.cc)
        assert sums.mc == pytest.approx(by_hand.mc)


def test_it_narrows_what_it_estimates() -> None:
    plain = [Sums.of(m, c) for m, c, _ in POLICIES]
    known = [Covariate.of(m, c, x) for m, c, x in POLICIES]
    before = log_lift(plain[0], plain[1])
    treatment, control, _ = adjusted(list(zip(plain, known, strict=True)))
    after = log_lift(treatment, control)
    assert before is not None
    assert after is not None
    assert after.error < 0.97 * before.error


def test_past_is_the_covariate_of_what_was_earned_beyond_a_rate() -> None:
    m, c, _ = POLICIES[0]
    rng = np.random.default_rng(4)
    before = rng.poisson(6.0, len(m)) * (m > 0)
    earned = rng.binomial(before, 0.2)
    found = past(m, c, before, earned)
    told = found.covariate(0.17)
    by_hand = Covariate.of(m, c, earned - 0.17 * before)
    for name in ("x", "xx", "mx", "cx"):
        assert getattr(told, name) == pytest.approx(getattr(by_hand, name))
    sums = {"a": Sums.of(m, c), "b": Sums.of(*POLICIES[1][:2])}
    assert without_past(sums, {}) == sums
    rate = found.c / found.m
    pairs = [(sums["a"], found.covariate(rate)), (sums["b"], Covariate())]
    assert list(without_past(sums, {"a": found}).values()) == adjusted(pairs)


def test_shards_add_up() -> None:
    m, c, x = POLICIES[0]
    parts = Covariate.of(m[:99], c[:99], x[:99]) + Covariate.of(m[99:], c[99:], x[99:])
    whole = Covariate.of(m, c, x)
    assert [parts.x, parts.xx, parts.mx, parts.cx] == pytest.approx(
        [whole.x, whole.xx, whole.mx, whole.cx]
    )


def test_a_covariate_that_says_nothing_changes_nothing() -> None:
    m, c, _ = POLICIES[0]
    sums = Sums.of(m, c)
    assert adjusted([(sums, Covariate.of(m, c, np.zeros_like(m)))]) == [sums]
    assert adjusted([(Sums(), Covariate())]) == [Sums()]


def test_a_policy_that_nobody_saw_stays_as_it_is() -> None:
    m, c, x = POLICIES[0]
    (alone,) = adjusted([(Sums.of(m, c), Covariate.of(m, c, x))])
    assert adjusted([(Sums.of(m, c), Covariate.of(m, c, x)), (Sums(), Covariate())]) == [
        alone,
        Sums(),
    ]
