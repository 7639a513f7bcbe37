"""What a rebuild means for the policies."""

from dataclasses import replace

import numpy as np
import pytest

from pullarm.domain.experiment import ArmStatus, PolicySpec
from replay.rebuilt import Belief, arm_changes, belief
from tests.builders import experiment, rebuilt_from


def test_belief_is_the_beta_posterior_or_the_plain_mean() -> None:
    prior = {"prior_alpha": 2.0, "prior_beta": 3.0}
    assert belief(prior, 10.0, 4.0) == Belief(6.0, 9.0, 0.4)
    assert belief({}, 8.0, 2.0) == Belief(None, None, 0.25)
    assert belief({}, 0.0, 0.0) == Belief(None, None, None)


def test_weights_are_those_of_the_policy_over_the_whole_catalogue() -> None:
    """Epsilon-greedy by hand: epsilon / 3 each, and the rest for the best mean, which is arm 1 and then arm 3."""
    tried = experiment(PolicySpec(name="egreedy", params={"epsilon": 0.3}), "thompson")
    rebuilt = rebuilt_from(
        {(3, 1): (10, 9_000_000), (3, 3): (10, 5_000_000), (2, 1): (4, 0)},
        {(3, 1): (10, 1_000_000), (3, 3): (10, 5_000_000), (2, 1): (4, 0)},
    )
    (change,) = arm_changes(tried, rebuilt)
    assert (change.policy, change.arm_no, change.arm_id) == ("egreedy", 1, "one")
    assert (change.before.rewards, change.after.rewards) == (9.0, 1.0)
    assert change.before.weight == pytest.approx(0.8)
    assert change.after.weight == pytest.approx(0.1)


def test_arms_have_their_pseudo_counts_and_only_active_ones_weigh() -> None:
    """Arm 1 is paused; arm 3 has 20 of 20 beside the prior (1, 1) and what it learned: 0 of 10, then 10 of 10."""
    made = experiment(PolicySpec(name="egreedy", params={"epsilon": 0.3}))
    one, two, three = made.arms
    arms = (
        replace(one, status=ArmStatus.PAUSED),
        two,
        replace(three, prior_serves_micro=20_000_000, prior_rewards_micro=20_000_000),
    )
    rebuilt = rebuilt_from(
        {(3, 1): (10, 9_000_000), (3, 2): (98, 98_000_000), (3, 3): (10, 0)},
        {(3, 1): (10, 0), (3, 2): (98, 0), (3, 3): (10, 10_000_000)},
    )
    paused, _, warm = arm_changes(replace(made, arms=arms), rebuilt)
    assert (paused.before.weight, paused.after.weight) == (None, None)
    assert (warm.before.serves, warm.before.rewards) == (10, 0.0)
    assert warm.before.belief == Belief(21.0, 11.0, 21 / 32)
    assert warm.after.belief == Belief(31.0, 1.0, 31 / 32)
    assert warm.before.weight == pytest.approx(0.15)
    assert warm.after.weight == pytest.approx(0.85)


def test_belief_and_weights_are_as_published_under_weights_of_hours() -> None:
    """Of arm 1 only one serve in ten and its reward count: its mean is 2 / 3 then, above that of arm 2."""
    tried = experiment(PolicySpec(name="egreedy", params={"epsilon": 0.3}))
    sums = {(3, 1): (10, 1_000_000), (3, 2): (10, 5_000_000)}
    rebuilt = replace(
        rebuilt_from({**sums, (3, 1): (10, 0)}, sums),
        weighed_after={(3, 1): (1_000_000, 1_000_000), (3, 2): (10_000_000, 5_000_000)},
    )
    (change,) = arm_changes(tried, rebuilt)
    assert (change.after.serves, change.after.rewards) == (10, 1.0)
    assert change.after.belief == Belief(2.0, 1.0, 2 / 3)
    assert (change.before.weight, change.after.weight) == pytest.approx((0.1, 0.8))


def test_weights_of_thompson_are_probabilities() -> None:
    before = {(2, arm): (100, arm * 10_000_000) for arm in (1, 2, 3)}
    after = {(2, arm): (100, (4 - arm) * 10_000_000 + arm) for arm in (1, 2, 3)}
    changes = arm_changes(experiment("thompson"), rebuilt_from(before, after))
    weights = np.array([(c.before.weight, c.after.weight) for c in changes])
    assert weights.sum(axis=0) == pytest.approx(1.0)
    assert weights[:, 0].argmax() == 2
    assert weights[:, 1].argmax() == 0
    assert weights.min() >= 0.05 / 3 - 1e-9
