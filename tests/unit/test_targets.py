"""What policies would have chosen, by hand and by the kernels that serve."""

import numpy as np
import pytest

from pullarm.policies.draw import choose
from pullarm.policies.posterior import Posterior
from pullarm.policies.registry import build
from replay.blocks import blocks
from replay.errors import DatasetError
from replay.log import Candidates, batch
from replay.targets import Belief, Column, First, Learned, Logged, Target, Uniform, posterior
from tests.bandit_logs import ARMS, bandit_log, orders

LISTED = Candidates(
    start=np.array([0, 2, 5]), arm=np.array([2, 0, 1, 2, 0], dtype=np.int32)
)  # c a | b c a
ROWS = batch(action=[0, 1], propensity=[0.5, 0.2], reward=[1, 0], version=[3, 8])


def test_uniform_takes_each_candidate_alike() -> None:
    action, offered = Uniform().probabilities(ROWS, LISTED)
    assert action.tolist() == [1 / 2, 1 / 3]
    assert offered is not None
    assert offered.tolist() == [1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3]


def test_control_takes_the_callers_first() -> None:
    action, offered = First().probabilities(ROWS, LISTED)
    assert action.tolist() == [0.0, 1.0]
    assert offered is not None
    assert offered.tolist() == [1.0, 0.0, 1.0, 0.0, 0.0]


def test_a_learned_policy_goes_by_the_newest_posterior_not_newer_than_the_round() -> None:
    """Greedy with epsilon 0.3: 0.85 and 0.15 of two candidates, 0.8, 0.1 and 0.1 of three."""
    best = {3: {"a": (10.0, 9.0)}, 5: {"b": (10.0, 9.0)}}
    posteriors = {version: Belief(posterior(ARMS, learned)) for version, learned in best.items()}
    target = Learned(build("egreedy", {"epsilon": 0.3}), posteriors)
    action, offered = target.probabilities(ROWS, LISTED)
    assert offered is not None
    assert offered == pytest.approx([0.15, 0.85, 0.8, 0.1, 0.1])
    assert action.tolist() == [offered[1], offered[2]]
    early = batch(action=[0], propensity=[0.5], reward=[0], version=[2])
    with pytest.raises(DatasetError, match="version 2"):
        target.probabilities(early, Candidates(start=np.array([0, 1]), arm=LISTED.arm[1:2]))


@pytest.mark.parametrize("name", ["thompson", "egreedy", "ucb"])
def test_weights_of_a_policy_on_what_it_logged_itself_are_exactly_one(name: str) -> None:
    """The log is drawn by the kernel that serves."""
    learned = {"a": (90.0, 20.0), "b": (80.0, 25.0), "c": (70.0, 24.0)}
    known, policy = posterior(ARMS, learned), build(name, {})
    prepared = policy.prepare(known, grid=policy.plan_grid(known, None))
    rng = np.random.default_rng(5)
    order = rng.permuted(np.tile(np.arange(3), (200, 1)), axis=1)
    size = rng.integers(1, 4, size=200)
    drawn = [
        choose(policy, prepared, row[:k], slots=1, uid=rng.bytes(16))[0]
        for row, k in zip(order, size, strict=True)
    ]
    rows = batch(
        action=[each.row for each in drawn],
        propensity=[each.weight / each.total for each in drawn],
        reward=np.zeros(200),
    )
    listed = Candidates(
        start=np.concatenate(([0], np.cumsum(size))),
        arm=np.concatenate([row[:k] for row, k in zip(order, size, strict=True)]).astype(np.int32),
    )
    action, _ = Learned(policy, {0: Belief(known)}).probabilities(rows, listed)
    assert (action / rows.propensity == 1.0).all()
    assert len(set(rows.propensity.tolist())) > 3


def test_what_is_stated_is_taken() -> None:
    stated = batch(action=[0], propensity=[0.5], reward=[1], target=[0.4])
    assert Column().probabilities(stated, None) == (stated.target, None)
    assert Logged().probabilities(stated, None) == (stated.propensity, None)
    with pytest.raises(DatasetError, match="target"):
        Column().probabilities(ROWS, LISTED)


@pytest.mark.parametrize("target", [Uniform(), First(), Learned(build("ucb", {}), {})])
def test_candidates_are_needed(target: Target) -> None:
    with pytest.raises(DatasetError, match="could choose from"):
        target.probabilities(ROWS, None)


def test_the_chosen_arm_is_a_candidate() -> None:
    lacking = Candidates(start=np.array([0, 1, 2]), arm=np.array([0, 2], dtype=np.int32))
    with pytest.raises(DatasetError, match="not among the candidates"):
        Uniform().probabilities(ROWS, lacking)


def test_a_posterior_names_arms_of_the_log() -> None:
    given = posterior(ARMS, {"b": (3.0, 1.5)})
    assert isinstance(given, Posterior)
    assert given.serves_micro.tolist() == [0, 3_000_000, 0]
    assert given.rewards_micro.tolist() == [0, 1_500_000, 0]
    with pytest.raises(DatasetError, match="not in the log"):
        posterior(ARMS, {"d": (1.0, 0.0)})
    with pytest.raises(DatasetError, match="exceeds"):
        posterior(ARMS, {"a": (1.0, 2.0)})


def test_blocks_are_the_rows_of_the_policies_asked_for() -> None:
    log = bandit_log(900, control=300)
    (whole,) = log.batches()
    parts = list(blocks(log.batches(), log.head, frozenset({"control"})))
    sizes = [len(part) for part, _ in parts]
    assert sizes == [16, 16, 32, 64, 128, 44]  # no more than came before
    for name in ("user", "action", "reward"):
        joined = np.concatenate([getattr(part, name) for part, _ in parts])
        assert joined.tolist() == getattr(whole, name)[900:].tolist()
    listed = [candidates.arm for _, candidates in parts if candidates is not None]
    assert np.concatenate(listed).reshape(-1, 3).tolist() == orders(log)[900:].tolist()


def test_blocks_offer_every_arm_where_the_log_says_so() -> None:
    log = bandit_log(50, offered="every")
    for part, candidates in blocks(log.batches(), log.head, frozenset({"random"})):
        assert candidates is not None
        assert candidates.arm.tolist() == [0, 1, 2] * len(part)
        assert candidates.size.tolist() == [3] * len(part)
