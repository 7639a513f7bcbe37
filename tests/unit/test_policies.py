"""Every policy's defined answers, and the properties that all of them share."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullarm.domain.experiment import POLICY_NUMBERS
from pullarm.policies import registry
from pullarm.policies.base import Offer, Policy
from pullarm.policies.draw import WEIGHT_ONE, choose, integer_weights
from pullarm.policies.parameters import SPECIFICATIONS
from pullarm.policies.posterior import Posterior
from tests.posteriors import posterior, prepared
from tests.vectors import vector

VECTORS = vector("egreedy_ucb")
UID = bytes(range(16))
LEARNING = ("thompson", "egreedy", "ucb")
ALL = [
    registry.build("control", {}),
    registry.build("control", {"mode": "uniform"}),
    *(registry.build(name, {}) for name in LEARNING),
    registry.build("thompson", {"prior_alpha": 0.5, "prior_beta": 0.5, "floor": 0.0}),
    registry.build("egreedy", {"prior_alpha": 2.0, "prior_beta": 20.0, "epsilon": 0.0}),
    registry.build("ucb", {"exploration": 0.0, "floor": 0.0}),
]


def weights(policy: Policy, given: Posterior, candidates: list[int]) -> list[float]:
    """The weights before the floor, of the candidates in ascending order."""
    return [float(weight) for weight in prepared(policy, given).weights(Offer.of(candidates))]


@pytest.mark.parametrize("name", POLICY_NUMBERS)
def test_numbers_and_specifications_belong_to_the_policies(name: str) -> None:
    policy = registry.build(name, {})
    assert (policy.name, policy.number) == (name, POLICY_NUMBERS[name])
    assert policy == registry.build(name, registry.defaults(name))
    assert set(SPECIFICATIONS) == set(POLICY_NUMBERS)


def test_numbers_stay_what_ledgers_hold() -> None:
    assert POLICY_NUMBERS == {"control": 1, "thompson": 2, "egreedy": 3, "ucb": 4}


def test_defaults_are_those_of_the_design() -> None:
    assert registry.build("thompson", {}).floor == registry.build("ucb", {}).floor == 0.05
    assert registry.build("egreedy", {}).floor == registry.build("control", {}).floor == 0.0
    assert registry.defaults("egreedy") == {"prior_alpha": 1.0, "prior_beta": 1.0, "epsilon": 0.1}
    assert registry.defaults("ucb")["exploration"] == 2.0
    assert registry.defaults("control") == {"mode": "caller"}


def test_an_unknown_policy_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'softmax' is unknown; the policies are control"):
        registry.build("softmax", {})


def test_every_bad_parameter_is_named_at_once() -> None:
    bad = {"floor": 1.5, "prior_alpha": 0.0, "prior_beta": True, "epsilon": 0.1}
    with pytest.raises(ValueError, match="epsilon is unknown") as caught:
        registry.build("thompson", bad)
    message = str(caught.value)
    assert "thompson.floor must be between 0 and 1, not 1.5" in message
    assert "thompson.prior_alpha must be between 0.5 and" in message
    assert "thompson.prior_beta must be a number, not True" in message
    with pytest.raises(ValueError, match=r"control\.mode must be one of caller, uniform"):
        registry.build("control", {"mode": "random"})
    with pytest.raises(ValueError, match="must be between 0 and 1, not nan"):
        registry.check("egreedy", {"epsilon": float("nan")})


@pytest.mark.parametrize("case", VECTORS["egreedy"])
def test_egreedy_shares_exact_ties(case: dict[str, Any]) -> None:
    policy = registry.build("egreedy", {"epsilon": case["eps"]})
    means = np.array(case["means"])
    # 998 serves and a prior of Beta(1, 1) make the means thousandths.
    given = posterior(np.full(len(means), 998.0), np.maximum(1000.0 * means - 1.0, 0.0))
    assert weights(policy, given, list(range(len(means)))) == pytest.approx(case["propensity"])


def test_egreedy_compares_fractions_not_rounded_means() -> None:
    """With Beta(1, 1): (1 + 1) / (2 + 4) = (1 + 2) / (2 + 7) = 1/3; one millionth breaks the tie."""
    policy = registry.build("egreedy", {"epsilon": 0.2})
    assert weights(policy, posterior([4, 7, 10], [1, 2, 2]), [0, 1, 2]) == pytest.approx(
        [0.4 + 0.2 / 3, 0.4 + 0.2 / 3, 0.2 / 3]
    )
    nearly = posterior([4e5, 7e5, 10], [4e5 / 3, 7e5 / 3, 2])
    assert max(weights(policy, nearly, [0, 1, 2])) > 0.8


@pytest.mark.parametrize("case", VECTORS["ucb1"])
def test_ucb_prefers_the_highest_index(case: dict[str, list[float]]) -> None:
    given = posterior(case["pulls"], case["successes"])
    n_arms = len(case["pulls"])
    expected = np.zeros(n_arms)
    expected[int(np.argmax(case["index"]))] = 1.0
    assert weights(registry.build("ucb", {}), given, list(range(n_arms))) == expected.tolist()


def test_ucb_counts_the_serves_of_the_candidates_only() -> None:
    """0.56 + sqrt(0.1 ln N / 20) against 0.5 + sqrt(0.1 ln N / 10).

    N = 30: 0.690 and 0.684. N = 1,000,030, with a third arm: 0.823 and 0.872.
    """
    policy = registry.build("ucb", {"exploration": 0.1})
    given = posterior([20, 10, 10**6], [11.2, 5, 0])
    assert weights(policy, given, [0, 1]) == [1.0, 0.0]
    assert weights(policy, given, [0, 1, 2]) == [0.0, 1.0, 0.0]


def test_ucb_serves_the_never_served_first() -> None:
    given = posterior([10, 0, 0, 1e6], [10, 0, 0, 1e6])
    assert weights(registry.build("ucb", {}), given, [0, 1, 2, 3]) == [0.0, 0.5, 0.5, 0.0]


def test_ucb_stands_discounted_serves_below_one() -> None:
    given = posterior([0.25, 0.5], [0.25, 0.0])
    assert weights(registry.build("ucb", {}), given, [0, 1]) == [1.0, 0.0]


@pytest.mark.parametrize("name", LEARNING)
def test_arms_never_served_share_equally(name: str) -> None:
    given = posterior(np.zeros(7), np.zeros(7))
    assert weights(registry.build(name, {}), given, [5, 1, 3]) == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("policy", ALL, ids=repr)
def test_a_single_candidate_is_certain(policy: Policy) -> None:
    given = posterior([50, 0], [5, 0])
    for row in (0, 1):
        (choice,) = choose(policy, prepared(policy, given), [row, row], slots=3, uid=UID)
        assert (choice.row, choice.weight, choice.total) == (row, WEIGHT_ONE, WEIGHT_ONE)
        assert choice.propensity == 1.0


def test_thompson_splits_two_equal_arms_evenly_and_follows_evidence() -> None:
    policy = registry.build("thompson", {})
    assert weights(policy, posterior([10, 10], [3, 3]), [0, 1]) == pytest.approx([0.5, 0.5])
    # Beta(2, 1) against Beta(1, 1): P = 2/3.
    assert weights(policy, posterior([1, 0], [1, 0]), [0, 1]) == pytest.approx([2 / 3, 1 / 3])


def test_control_follows_the_caller_through_all_slots() -> None:
    policy = registry.build("control", {})
    order = [11, 2, 7, 0, 9, 4, 1, 10, 3, 8, 6, 5]
    given = posterior(np.zeros(12), np.zeros(12))
    slate = choose(policy, prepared(policy, given), [*order, 2, 11], slots=12, uid=UID)
    assert [choice.row for choice in slate] == order
    assert {choice.propensity for choice in slate} == {1.0}


def test_uniform_control_is_uniform() -> None:
    policy = registry.build("control", {"mode": "uniform"})
    given = posterior([100, 0, 3], [90, 0, 0])
    assert weights(policy, given, [2, 0, 1]) == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("policy", ALL, ids=repr)
def test_a_slate_holds_distinct_arms_and_ends_with_the_candidates(policy: Policy) -> None:
    rng = np.random.default_rng(7)
    serves = rng.integers(0, 100, 40)
    given = posterior(serves, rng.binomial(serves, 0.3))
    candidates = rng.choice(40, 25, replace=False).tolist()
    slate = choose(policy, prepared(policy, given), candidates, slots=100, uid=UID)
    assert sorted(choice.row for choice in slate) == sorted(candidates)
    assert slate[-1].propensity == 1.0


@pytest.mark.parametrize("name", LEARNING)
def test_each_of_ten_slots_asks_the_policy_about_the_candidates_left(name: str) -> None:
    policy = registry.build(name, {})
    rng = np.random.default_rng(11)
    given = posterior(np.full(14, 100.0), rng.binomial(100, 0.2, 14))
    ready, left = prepared(policy, given), list(range(14))
    for choice in choose(policy, ready, left, slots=10, uid=UID):
        integers = integer_weights(ready.weights(Offer.of(left)), policy.floor)
        assert (choice.weight, choice.total) == (integers[left.index(choice.row)], integers.sum())
        left.remove(choice.row)


def test_later_slots_are_renormalised_and_a_zero_remainder_is_uniform() -> None:
    policy = registry.build("ucb", {"floor": 0.0})
    given = posterior(np.full(13, 100.0), np.arange(13.0))
    slate = choose(policy, prepared(policy, given), range(13), slots=13, uid=UID)
    # Ten slots take the best arm left, with certainty; then nothing is left of their weights.
    assert [choice.row for choice in slate[:10]] == list(range(12, 2, -1))
    assert [choice.propensity for choice in slate[10:]] == pytest.approx([1 / 3, 1 / 2, 1.0])


@pytest.mark.parametrize(
    ("candidates", "slots", "uid", "problem"),
    [
        ([], 1, UID, "candidates is empty"),
        ([0, 2], 1, UID, "arm rows from 0 to 1"),
        ([-1, 0], 1, UID, "arm rows from 0 to 1"),
        ([0, 1], 0, UID, "slots must be at least 1"),
        ([0, 1], 1, UID[:15], "uid must be 16 bytes, not 15"),
    ],
)
def test_bad_questions_are_refused(
    candidates: list[int], slots: int, uid: bytes, problem: str
) -> None:
    policy = registry.build("thompson", {})
    ready = prepared(policy, posterior([1, 2], [0, 1]))
    with pytest.raises(ValueError, match=problem):
        choose(policy, ready, candidates, slots=slots, uid=uid)


@pytest.mark.parametrize(
    ("serves", "rewards", "problem"),
    [
        ([1, 2], [0], "serves_micro has 2 arms and rewards_micro 1"),
        ([1, 2], [0, -1], "arm row 1: rewards_micro is negative"),
        ([1, 2], [1, 3], "arm row 1: rewards_micro exceeds"),
        ([2**62, 2], [1, 1], "arm row 0: serves_micro is above"),
        ([0.5], [0], "serves_micro must be one-dimensional whole numbers"),
    ],
)
def test_bad_posteriors_are_refused(
    serves: list[float], rewards: list[float], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        Posterior(serves_micro=np.array(serves), rewards_micro=np.array(rewards))


@st.composite
def questions(draw: st.DrawFn) -> tuple[Posterior, list[int], bytes]:
    """Any posterior, candidates with duplicates in any order, and a uid."""
    serves = st.one_of(st.just(0), st.integers(0, 20), st.integers(0, 10**6))
    arms = draw(st.lists(st.tuples(serves, st.floats(0.0, 1.0)), min_size=1, max_size=12))
    given = posterior([n for n, _ in arms], [round(n * share, 6) for n, share in arms])
    row = st.integers(0, len(arms) - 1)
    return (
        given,
        draw(st.lists(row, min_size=1, max_size=20)),
        draw(st.binary(min_size=16, max_size=16)),
    )


@pytest.mark.parametrize("policy", ALL, ids=repr)
@given(question=questions(), data=st.data())
def test_every_policy_is_a_probability_vector(
    policy: Policy, question: tuple[Posterior, list[int], bytes], data: st.DataObject
) -> None:
    given, candidates, uid = question
    ready = prepared(policy, given)
    offer = Offer.of(candidates)
    weights = ready.weights(offer)
    k = len(set(candidates))
    assert weights.shape == (k,)
    assert abs(weights.sum() - 1.0) < 1e-12
    assert weights.min() >= 0.0

    integers = integer_weights(weights, policy.floor)
    assert (integers[weights > 0.0] >= 1).all()
    # Rounding to whole numbers moves a weight by half of one at most.
    assert integers.min() >= policy.floor / k * WEIGHT_ONE - 0.5
    if policy.floor == 0.0:
        assert (integers[weights == 0.0] == 0).all()

    slate = choose(policy, ready, candidates, slots=3, uid=uid)
    assert all(0 < choice.weight <= choice.total for choice in slate)
    if policy.name == "control":
        shuffled = [*candidates, *data.draw(st.permutations(candidates))]
    else:
        shuffled = data.draw(st.permutations([*candidates, candidates[0]]))
    assert choose(policy, ready, shuffled, slots=3, uid=uid) == slate
