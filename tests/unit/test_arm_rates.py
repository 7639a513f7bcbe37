"""Rates from kept sums against the paper's own code, and the same sums however decisions were cut into batches."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullarm.statistics.aipw import LEAST_SUCCESSES, Sums, interval, scores, sequence
from pullarm.statistics.arm_rates import LEAST_FOR_INTERVAL, ArmSums, Entries, arm_rates
from tests.vectors import vector

VECTOR = vector("adaptive_aipw")
PROPENSITIES = np.array(VECTOR["propensities"])
ALPHA = 0.05


def _entries(propensities: np.ndarray, arms: np.ndarray, rewards: np.ndarray) -> Entries:
    """Of decisions that offered every arm, whose cell is its number."""
    n, k = propensities.shape
    return Entries(
        cells=np.tile(np.arange(k), n),
        propensities=propensities.ravel(),
        taken=(arms[:, None] == np.arange(k)).ravel(),
        credits_micro=np.repeat(np.rint(rewards * 1e6).astype(np.int64), k),
    )


@given(cuts=st.lists(st.integers(0, 12), max_size=4))
def test_the_vector_through_the_stored_sums_in_any_batches(cuts: list[int]) -> None:
    expected = VECTOR["expected"]["constant_allocation_sqrt_e"]
    arms, rewards = np.array(VECTOR["arms"]), np.array(VECTOR["rewards"])
    sums = ArmSums.empty(2)
    ends = [0, *sorted(cuts), len(arms)]
    for start, stop in pairwise(ends):
        part = slice(start, stop)
        sums = sums.after(_entries(PROPENSITIES[part], arms[part], rewards[part]))
    rates = arm_rates(sums, alpha=ALPHA)
    for arm in range(2):
        found = rates[arm]
        assert found.rate == pytest.approx(expected["estimate"][arm], abs=VECTOR["tolerance"])
        assert found.error == pytest.approx(expected["stderr"][arm], abs=VECTOR["tolerance"])
        assert found.naive == pytest.approx(rewards[arms == arm].mean())
        assert found.served == (arms == arm).sum()
        assert found.offered == 12


def _world(seed: int, n: int = 4_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Propensities of three arms that wander, arms drawn from them, and rewards."""
    random = np.random.default_rng(seed)
    propensities = random.dirichlet([2.0, 1.0, 1.0], size=n) * 0.9 + 0.1 / 3
    ends = propensities.cumsum(axis=1)[:, :-1]
    arms = (random.random((n, 1)) > ends).sum(axis=1)
    return propensities, arms, (random.random(n) < np.array([0.1, 0.2, 0.05])[arms]).astype(float)


def test_batches_leave_the_same_sums_to_the_last_bit() -> None:
    propensities, arms, rewards = _world(1)
    whole = ArmSums.empty(3).after(_entries(propensities, arms, rewards))
    parts, random = ArmSums.empty(3), np.random.default_rng(2)
    ends = [0, *np.sort(random.integers(0, 4_000, 30)).tolist(), 4_000]
    for start, stop in pairwise(ends):
        part = slice(start, stop)
        parts = parts.after(_entries(propensities[part], arms[part], rewards[part]))
    assert np.array_equal(parts.counts, whole.counts)
    assert np.array_equal(parts.scored, whole.scored)


def test_the_sums_are_those_of_the_method_with_guesses_from_the_past() -> None:
    propensities, arms, rewards = _world(3)
    shown = arms[:, None] == np.arange(3)
    before = np.cumsum(shown, axis=0) - shown
    earned = np.cumsum(shown * rewards[:, None], axis=0) - shown * rewards[:, None]
    told = scores(arms, rewards, propensities, (earned + 1.0) / (before + 2.0))
    method = Sums.of(told, np.sqrt(propensities))
    sums = ArmSums.empty(3).after(_entries(propensities, arms, rewards))
    rates = arm_rates(sums, alpha=ALPHA)
    for arm in range(3):
        found = rates[arm]
        assert found.rate == pytest.approx(method.means[arm])
        assert found.error == pytest.approx(method.errors[arm])
        assert found.rate is not None
        assert found.error is not None
        once = interval(found.rate, found.error, alpha=ALPHA)
        always = sequence(found.rate, found.error, 4_000, alpha=ALPHA)
        assert found.interval == tuple(map(float, once))
        assert found.sequence == tuple(map(float, always))


def test_intervals_are_told_from_enough_successes_on() -> None:
    successes = np.array([0, LEAST_FOR_INTERVAL - 1, LEAST_FOR_INTERVAL, LEAST_SUCCESSES])
    counts = [np.full(4, 100), np.full(4, 60), successes, successes * 10**6]
    scored = np.tile([40.0, 8.0, 20.0, 4.0, 9.0], (4, 1))
    told = arm_rates(ArmSums(counts=np.stack(counts, axis=1), scored=scored), alpha=ALPHA)
    assert [each.interval is None for each in told] == [True, True, False, False]
    assert [each.sequence is None for each in told] == [True, True, True, False]
    assert {each.rate for each in told} == {0.2}


def test_an_arm_that_was_never_shown_has_no_rate() -> None:
    sums = ArmSums.empty(2).after(_entries(PROPENSITIES, np.zeros(12, np.int64), np.ones(12)))
    found = arm_rates(sums, alpha=ALPHA)[1]
    assert (found.offered, found.served, found.rate, found.naive) == (12, 0, None, None)


def test_an_arm_that_is_shown_whenever_it_can_be_has_its_plain_mean() -> None:
    """As control does, in the caller's order: others have propensity 0 and weigh nothing."""
    rewards = (np.arange(400) % 4 == 0).astype(float)
    certain = np.tile([1.0, 0.0], (400, 1))
    sums = ArmSums.empty(2).after(_entries(certain, np.zeros(400, np.int64), rewards))
    found = arm_rates(sums, alpha=ALPHA)[0]
    assert found.rate == found.naive == 0.25
    assert found.error == pytest.approx(np.sqrt(0.25 * 0.75 / 400))
    always = ArmSums.empty(2).after(_entries(certain, np.zeros(400, np.int64), np.ones(400)))
    assert arm_rates(always, alpha=ALPHA)[0].sequence == (1.0, 1.0)


def test_no_arms_have_no_rates() -> None:
    assert arm_rates(ArmSums.empty(0), alpha=ALPHA) == []
