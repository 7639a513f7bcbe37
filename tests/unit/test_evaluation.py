"""An evaluation of a whole log: its gates, and that no estimate looks ahead."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from replay.errors import DatasetError
from replay.estimators.base import Rounds
from replay.evaluating import evaluate
from replay.evaluation import WITHOUT_MODEL, Evaluation, Report, Settings
from replay.gates import Diagnostics
from replay.gating import gate
from replay.log import BanditLog, Candidates, Offered, in_memory
from replay.reward_model import STRENGTH, RewardModel
from replay.targets import Column, First, Logged, Target, Uniform
from tests.bandit_logs import RATES, bandit_log, nothing

SETTINGS = Settings(draws=50)


def _evaluated(
    log: BanditLog, target: Target, *, logged_by: Sequence[str] = ("random",)
) -> Evaluation:
    return evaluate(log, target, logged_by=logged_by, settings=SETTINGS, done=nothing)


def _report(log: BanditLog, target: Target) -> Report:
    return _evaluated(log, target).report()


def test_every_estimator_and_interval_finds_what_the_target_earns() -> None:
    report = _report(bandit_log(20_000), Uniform())
    assert report.findings.estimable
    assert len(report.estimates) == 9
    for name, each in report.estimates.items():
        assert each.value == pytest.approx(RATES.mean(), abs=0.02), name
        assert each.normal.lower < each.value < each.normal.upper
        assert each.bootstrap == pytest.approx(each.normal, abs=0.01)
    for bounds in report.bounds.values():
        assert bounds is not None
        assert bounds.lower < RATES.mean() < bounds.upper


def test_a_log_on_itself_has_weights_of_exactly_one() -> None:
    log = bandit_log()
    (whole,) = log.batches()
    report = _report(log, Logged())
    found = report.findings
    assert (found.mean_weight, found.max_weight) == (1.0, 1.0)
    assert found.effective_rounds == found.rounds == 6_000
    assert set(report.estimates) == set(WITHOUT_MODEL)
    assert report.estimates["ips"].value == pytest.approx(whole.reward.mean(), rel=1e-12)


def test_settings_reach_their_estimators() -> None:
    log = bandit_log()
    settings = Settings(draws=50, alpha=0.5, clip=0.01, switch=0.01, shrinkage=1e-6)
    found = evaluate(log, Uniform(), logged_by=["random"], settings=settings, done=nothing).report()
    plain = _report(log, Uniform())
    assert found.estimates["clipped_ips"].value < 0.01
    for name in ("switch_dr", "dros"):
        assert found.estimates[name].value == pytest.approx(found.estimates["dm"].value, abs=1e-3)
    narrow, wide = (each.estimates["dr"].normal for each in (found, plain))
    assert narrow.upper - narrow.lower < 0.5 * (wide.upper - wide.lower)


@pytest.mark.parametrize(
    ("log", "target", "reason"),
    [
        (lambda: bandit_log(900), Uniform(), "worth"),
        (lambda: bandit_log(logging=(0.94, 0.05, 0.01)), First(), "worth"),
        (lambda: bandit_log(stated=(0.25, 0.15, 0.1)), Uniform(), "mean weight is 1.99"),
        (lambda: bandit_log(stated=(0.45, 0.35, 0.2)), Uniform(), "they are wrong"),
        (lambda: bandit_log(logging=(0.5, 0.5, 0.0)), Uniform(), "mean weight is 0.66"),
    ],
)
def test_what_a_log_cannot_tell_is_not_estimated(
    log: Callable[[], BanditLog], target: Target, reason: str
) -> None:
    report = _report(log(), target)
    assert not report.findings.estimable
    assert any(reason in each for each in report.findings.reasons), report.findings
    assert not report.estimates
    assert not report.bounds


def _diagnosed(propensity: float, target: float) -> Diagnostics:
    """One odd round among 5,000 whose weight is 1."""
    n = 5_000
    chance, wanted = np.full(n, 0.5), np.full(n, 0.5)
    chance[0], wanted[0] = propensity, target
    diagnostics = Diagnostics(n_arms=2)
    rounds = Rounds(user=np.arange(n), reward=np.zeros(n), propensity=chance, target=wanted)
    diagnostics.add(rounds, np.zeros(n, dtype=np.int32), None)
    return diagnostics


def test_one_round_may_not_decide() -> None:
    found = _diagnosed(0.001, 0.9).get()
    assert found.max_weight_share == pytest.approx(900 / 5_899)
    assert any("one round has 15.3%" in each for each in found.reasons)


def test_least_propensity_is_that_of_what_the_target_takes_more_often() -> None:
    assert any("propensity 1e-05" in each for each in _diagnosed(1e-5, 2e-5).get().reasons)
    assert _diagnosed(1e-5, 1e-5).get().estimable  # of weight 1
    assert _diagnosed(1e-5, 0.0).get().least_propensity == 1.0


def test_findings_of_shards_are_those_of_the_whole() -> None:
    listed = Candidates(start=np.arange(4) * 2, arm=np.array([0, 1] * 3, dtype=np.int32))
    rounds = Rounds(
        user=np.arange(3), reward=np.ones(3), propensity=np.full(3, 0.25), target=np.full(3, 0.5)
    )
    action = np.array([0, 1, 1], dtype=np.int32)
    first, second, whole = (Diagnostics(n_arms=2) for _ in range(3))
    first.add(rounds, action, listed)
    second.add(rounds, action, None)
    for _ in range(2):
        whole.add(rounds, action, listed)
    assert (first + first).get() == whole.get()
    assert whole.get().calibration_p is not None
    assert (first + second).get().calibration_p is None
    assert Diagnostics(n_arms=2).get().rounds == 0
    assert not Diagnostics(n_arms=2).get().estimable


def test_rewards_outside_nought_and_one_have_no_bounds_that_ask_for_them() -> None:
    log = bandit_log()
    (whole,) = log.batches()
    dear = in_memory(log.head, [replace(whole, reward=whole.reward * 3.0)])
    report = _report(dear, Uniform())
    assert report.bounds["cressie_read"] is report.bounds["bernstein"] is None
    assert report.estimates["snips"].value == pytest.approx(3 * RATES.mean(), abs=0.1)


def test_a_guess_is_made_of_earlier_rounds_only() -> None:
    """Whatever the last rounds earned, the guesses of DM stay the same."""
    log = bandit_log(100, offered="every")
    (whole,) = log.batches()
    changed = whole.reward.copy()
    changed[-36:] = 1.0 - changed[-36:]  # the last block: 16, 16, 32 and 36 rows
    other = in_memory(log.head, [replace(whole, reward=changed)])
    guesses = [_evaluated(each, Uniform()).estimators["dm"].get() for each in (log, other)]
    assert guesses[0] == guesses[1]
    changed[40] = 1.0 - changed[40]
    other = in_memory(log.head, [replace(whole, reward=changed)])
    assert _evaluated(other, Uniform()).estimators["dm"].get() != guesses[0]


def test_guesses_are_drawn_towards_the_mean_of_all() -> None:
    """Of 4 rounds of arm 0 and 1 of arm 1 with 2 rewards, m = 0.4: (2 + 10 m) / 14, (0 + 10 m) / 11 and m."""
    model = RewardModel(n_arms=3)
    assert model.rates().tolist() == [0.0, 0.0, 0.0]
    model.learn(np.array([0, 0, 0, 0, 1], dtype=np.int32), np.array([1.0, 1.0, 0.0, 0.0, 0.0]))
    assert model.rates() == pytest.approx([6 / 14, 4 / 11, 0.4])
    weighted = RewardModel(n_arms=3)
    action, reward = np.array([0, 1], dtype=np.int32), np.array([1.0, 0.0])
    weighted.learn(action, reward, np.array([3.0, 1.0]))
    mean, strength = 0.75, STRENGTH * 2.0
    assert weighted.rates()[:2] == pytest.approx(
        [(3 + strength * mean) / (3 + strength), strength * mean / (1 + strength)]
    )


@pytest.mark.parametrize(
    ("target", "offered", "logged_by", "message"),
    [
        (Uniform(), "listed", "nobody", "'nobody'; there are: random"),
        (First(), "every", "random", "does not list"),
        (Uniform(), "unknown", "random", "could choose from"),
        (Column(), "listed", "random", "column `target`"),
    ],
)
def test_what_the_log_lacks_is_named(
    target: Target, offered: Offered, logged_by: str, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        _evaluated(bandit_log(offered=offered), target, logged_by=[logged_by])


@pytest.mark.parametrize("control", [0, 4_000])
def test_gate_opens_for_what_earns_more_than_control(control: int) -> None:
    """Control earns 0.3 here, as uniform does: it passes with a margin alone. The best arm of three is far above."""
    log = bandit_log(8_000, control=control)

    def verdict(target: Target, margin: float) -> bool:
        return gate(
            log, target, logged_by=["random"], margin=margin, settings=SETTINGS, done=nothing
        ).passes

    (whole,) = log.batches()
    best = np.where(whole.action == 2, 0.9, 0.05)
    log = in_memory(log.head, [replace(whole, target=best)])
    assert verdict(Column(), 0.0)
    assert verdict(Uniform(), 0.3)
    assert not verdict(Uniform(), 0.0)


def test_gate_stays_shut_where_the_log_cannot_tell() -> None:
    few = bandit_log(900)
    shut = gate(few, Uniform(), logged_by=["random"], margin=1.0, settings=SETTINGS, done=nothing)
    assert not shut.passes
    assert shut.bounds is None
    with pytest.raises(ValueError, match="margin"):
        gate(few, Uniform(), logged_by=["random"], margin=2.0, settings=SETTINGS, done=nothing)
