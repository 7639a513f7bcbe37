"""What holds of every estimator and every interval, whatever the log."""

from collections.abc import Callable
from dataclasses import fields
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from replay.estimators import clipped_ips, dm, dr, dros, ips, mrdr, sndr, snips, switch_dr
from replay.estimators.base import Estimator, Rounds
from replay.intervals import bootstrap, cressie_read, normal
from replay.intervals.anytime import AsympCS, EmpiricalBernstein
from replay.intervals.base import UNKNOWN, Interval

ESTIMATORS: dict[str, Callable[[], Estimator]] = {
    "ips": ips.Estimator,
    "clipped_ips": clipped_ips.Estimator,
    "snips": snips.Estimator,
    "dm": dm.Estimator,
    "dr": dr.Estimator,
    "sndr": sndr.Estimator,
    "switch_dr": switch_dr.Estimator,
    "dros": dros.Estimator,
    "mrdr": mrdr.Estimator,
}
INTERVALS: dict[str, Callable[[], Interval | EmpiricalBernstein]] = {
    "normal": lambda: normal.Interval(snips.Estimator()),
    "bootstrap": lambda: bootstrap.Interval(dr.Estimator(), draws=200),
    "cressie_read": lambda: cressie_read.Interval(snips.Estimator()),
    "asymptotic": lambda: AsympCS(dr.Estimator()),
    "bernstein": EmpiricalBernstein,
}
Streamed = TypeVar(
    "Streamed", Estimator, Interval, EmpiricalBernstein, Interval | EmpiricalBernstein
)
each_estimator = pytest.mark.parametrize("made", ESTIMATORS.values(), ids=ESTIMATORS)
each_interval = pytest.mark.parametrize("made", INTERVALS.values(), ids=INTERVALS)


def _rounds(n: int, *, seed: int = 3, users: int = 300) -> Rounds:
    """A log of three arms; q is a fair guess of their rates."""
    rng = np.random.default_rng(seed)
    logging, target = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    rate, guess = np.array([0.2, 0.4, 0.6]), np.array([0.3, 0.3, 0.5])
    action = rng.choice(3, size=n, p=logging)
    return Rounds(
        user=rng.integers(users, size=n),
        reward=(rng.random(n) < rate[action]).astype(float),
        propensity=logging[action],
        target=target[action],
        predicted=guess[action],
        value=np.full(n, target @ guess),
    )


def _changed(rounds: Rounds, **columns: NDArray[np.float64]) -> Rounds:
    return Rounds(**{each.name: getattr(rounds, each.name) for each in fields(rounds)} | columns)


def _taken(rounds: Rounds, places: NDArray[np.int64] | slice) -> Rounds:
    return _changed(
        rounds, **{each.name: getattr(rounds, each.name)[places] for each in fields(rounds)}
    )


def _added(streamed: Streamed, *batches: Rounds) -> Streamed:
    for batch in batches:
        streamed.add(batch)
    return streamed


@each_estimator
def test_no_data_is_no_estimate(made: Callable[[], Estimator]) -> None:
    assert made().get() is None
    assert _added(made(), _rounds(0)).get() is None


@each_estimator
@given(cuts=st.lists(st.integers(0, 500), max_size=4))
@settings(max_examples=20)
def test_shards_sum_to_the_whole(made: Callable[[], Estimator], cuts: list[int]) -> None:
    rounds = _rounds(500)
    edges = [0, *sorted(cuts), 500]
    merged = made()
    for first, last in pairwise(edges):
        merged = merged + _added(made(), _taken(rounds, slice(first, last)))
    whole = _added(made(), rounds)
    assert merged.get() == pytest.approx(whole.get(), rel=1e-12)
    np.testing.assert_allclose(merged.sums, whole.sums, rtol=1e-12, atol=1e-12)


@each_estimator
def test_order_does_not_matter(made: Callable[[], Estimator]) -> None:
    rounds = _rounds(500)
    shuffled = _taken(rounds, np.random.default_rng(1).permutation(500))
    assert _added(made(), shuffled).get() == pytest.approx(_added(made(), rounds).get(), rel=1e-12)


@each_estimator
def test_a_policy_on_its_own_log_earns_what_it_earned(made: Callable[[], Estimator]) -> None:
    """Every weight is 1. The direct method has no weights: it says what its model says."""
    rounds = _rounds(500)
    own = _changed(rounds, target=rounds.propensity, value=rounds.models[0])
    assert (own.weight == 1.0).all()
    got = _added(made(), own).get()
    if made is dm.Estimator:
        assert got == pytest.approx(float(own.models[0].mean()))
    elif made is dros.Estimator:  # shrinks even a weight of 1, by 1 in 101
        assert got == pytest.approx(rounds.reward.mean(), abs=0.002)
    else:
        assert got == pytest.approx(rounds.reward.mean(), rel=1e-12)


@pytest.mark.parametrize("name", sorted(set(ESTIMATORS) - {"ips", "clipped_ips"}))
def test_a_constant_reward_is_the_value_of_any_policy(name: str) -> None:
    """With a model that knows it; IPS without normalisation has it times the mean weight."""
    rounds = _rounds(500)
    constant = np.full(500, 0.7)
    known = _changed(rounds, reward=constant, predicted=constant, value=constant)
    assert _added(ESTIMATORS[name](), known).get() == pytest.approx(0.7, rel=1e-12)


def test_a_constant_reward_times_the_mean_weight_is_ips() -> None:
    rounds = _changed(_rounds(500), reward=np.full(500, 0.7))
    got = _added(ips.Estimator(), rounds).get()
    assert got == pytest.approx(0.7 * rounds.weight.mean(), rel=1e-12)


@pytest.mark.parametrize(
    "made",
    [
        lambda: clipped_ips.Estimator(limit=0.0),
        lambda: switch_dr.Estimator(limit=-1.0),
        lambda: dros.Estimator(shrinkage=float("nan")),
    ],
)
def test_limits_must_be_above_zero(made: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        made()


def test_unlimited_estimators_are_those_they_tame() -> None:
    rounds, endless = _rounds(500), float("inf")
    plain = _added(dr.Estimator(), rounds).get()
    assert _added(switch_dr.Estimator(limit=endless), rounds).get() == plain
    assert _added(dros.Estimator(shrinkage=endless), rounds).get() == plain
    unclipped = _added(clipped_ips.Estimator(limit=endless), rounds).get()
    assert unclipped == _added(ips.Estimator(), rounds).get()


def test_a_model_is_asked_for_where_it_is_needed() -> None:
    ones = np.ones(2)
    bare = Rounds(user=np.arange(2), reward=ones, propensity=ones, target=ones)
    for name in sorted(set(ESTIMATORS) - {"ips", "clipped_ips", "snips"}):
        with pytest.raises(ValueError, match="reward model"):
            ESTIMATORS[name]().add(bare)


@each_interval
def test_no_data_is_no_interval(made: Callable[[], Interval | EmpiricalBernstein]) -> None:
    empty = made()
    widest = (0.0, 1.0) if isinstance(empty, EmpiricalBernstein) else UNKNOWN
    assert empty.get(0.05) == widest


@each_interval
def test_more_data_is_tighter(made: Callable[[], Interval | EmpiricalBernstein]) -> None:
    few, many = (_added(made(), _rounds(n, users=n)).get(0.05) for n in (1_000, 16_000))
    assert many.upper - many.lower < 0.6 * (few.upper - few.lower)


@each_interval
def test_higher_alpha_is_tighter(made: Callable[[], Interval | EmpiricalBernstein]) -> None:
    interval = _added(made(), _rounds(2_000))
    widths = [interval.get(alpha).upper - interval.get(alpha).lower for alpha in (0.01, 0.05, 0.2)]
    assert widths == sorted(widths, reverse=True)
    for alpha in (0.0, 1.0):
        with pytest.raises(ValueError, match="alpha"):
            interval.get(alpha)


@each_interval
def test_intervals_of_shards_sum_to_that_of_the_whole(
    made: Callable[[], Interval | EmpiricalBernstein],
) -> None:
    rounds = _rounds(2_000)
    parts = [_added(made(), _taken(rounds, slice(at, at + 500))) for at in range(0, 2_000, 500)]
    merged: Any = parts[0]
    for part in parts[1:]:
        merged = merged + part
    assert merged.get(0.05) == pytest.approx(_added(made(), rounds).get(0.05), rel=1e-9)


@pytest.mark.parametrize("name", ["normal", "bootstrap", "cressie_read"])
def test_rounds_of_one_user_are_not_so_many_observations(name: str) -> None:
    """Each round three times over, under the same user: the interval stays what it was."""
    once = _taken(_rounds(900), np.unique(_rounds(900).user, return_index=True)[1])
    thrice = _taken(once, np.repeat(np.arange(len(once.user)), 3))
    expected = _added(INTERVALS[name](), once).get(0.05)
    assert _added(INTERVALS[name](), thrice).get(0.05) == pytest.approx(expected, rel=1e-9)


def test_bernstein_asks_for_rewards_between_nought_and_one() -> None:
    ones = np.ones(1)
    with pytest.raises(ValueError, match="0 to 1"):
        EmpiricalBernstein().add(
            Rounds(user=np.arange(1), reward=ones * 1.5, propensity=ones, target=ones)
        )
