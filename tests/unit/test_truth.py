"""Policies run in the truth way: what they earn, what they are held against, and the log they leave."""

import itertools
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from pullarm.policies.grid import Grid
from pullarm.policies.posterior import Posterior
from pullarm.policies.registry import build
from replay import run_file, simulated_log, visits, window
from replay.comparison import compare
from replay.engines.base import Engine
from replay.engines.local import ALONE, Processes
from replay.errors import DatasetError
from replay.evaluating import evaluate
from replay.evaluation import Settings
from replay.gates import STANDARD
from replay.learning import Candidate, Setting
from replay.log_table import open_log
from replay.movielens import load
from replay.runs import Plan, Task, outcomes
from replay.tally import Outcome
from replay.targets import SIMPLE, Belief, Learned, posterior
from replay.truth import Truth
from tests.movielens_miniature import write_miniature
from tests.replay_learners import Frozen

SEED = np.random.SeedSequence(5)
SETTING = Setting(every=50, delay_min=15)
POLICIES = ("thompson", "egreedy", "ucb", "control", "control:mode=uniform")


@pytest.fixture(name="truth", scope="module")
def _truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    ratings = load(write_miniature(tmp_path_factory.mktemp("movielens"), seed=11))
    arms = window.top_arms(ratings, window.busiest(ratings), count=30)
    return Truth(visits=visits.Visits(ratings, arms, seed=1), n_events=2_000, days=14)


def plan(*policies: str, runs: int = 2) -> Plan:
    return Plan(
        candidates=tuple(map(Candidate.read, policies)), settings=(SETTING,), runs=runs, seed=3
    )


def ran(truth: Truth, of: Plan, *, engine: Engine = ALONE) -> list[tuple[Task, Outcome]]:
    return list(outcomes(truth, of, engine=engine, done=lambda _: None))


def test_rates_are_what_showing_an_arm_earns_where_it_is_offered(truth: Truth) -> None:
    """Against the visits themselves: the mean outcome of every arm in 200,000 of them, to 5.5 standard errors."""
    arm_of = {arm.id: row for row, arm in enumerate(truth.arms)}
    seen, earned = np.zeros(len(arm_of)), np.zeros(len(arm_of))
    for visit in itertools.islice(truth.visits.seeded(9).visits(), 200_000):
        rows = [arm_of[each] for each in visit.candidates]
        seen[rows] += 1
        earned[rows] += visit.outcomes
    error = np.sqrt(truth.rates * (1 - truth.rates) / seen)
    assert (np.abs(earned / seen - truth.rates) <= 5.5 * error + 1e-12).all()


def frozen(rates: NDArray[np.float64]) -> Frozen:
    """Whoever shows the best of these rates that is on offer."""
    known = Posterior(
        serves_micro=np.full(len(rates), 10**15),
        rewards_micro=np.round(rates * 10**15).astype(np.int64),
    )
    return Frozen(build("egreedy", {"epsilon": 0.0}).prepare(known, grid=None))


def test_the_best_fixed_arm_has_no_regret_and_others_are_held_against_it(truth: Truth) -> None:
    best = truth.run(frozen(truth.rates), SETTING, SEED)
    assert best.regret == 0.0
    for other in (frozen(-truth.rates + 1.0), build("control", {"mode": "uniform"})):
        outcome = truth.run(other, SETTING, SEED)
        assert outcome.regret == best.reward - outcome.reward > 0


def test_what_a_run_tells_adds_up(truth: Truth) -> None:
    outcome = truth.run(build("thompson", {}), SETTING, SEED)
    tally = outcome.tally
    assert outcome.decisions == truth.n_events == tally.shown.sum() == tally.impressions.sum()
    assert outcome.reward == tally.earned.sum() == tally.rewards.sum()
    assert outcome.curve[-1].tolist() == [outcome.decisions, outcome.reward, outcome.regret]
    # 2,000 visits over 14 days, evenly.
    assert set(tally.impressions.sum(axis=1).tolist()) == {142, 143}


def test_policies_learn_and_meet_the_same_visits(truth: Truth) -> None:
    of = plan(*POLICIES, runs=4)
    rates: dict[str, list[float]] = {label: [] for label in POLICIES}
    users: dict[int, list[NDArray[np.int64]]] = {}
    for task, outcome in ran(truth, of):
        rates[task.candidate.label].append(outcome.rate or 0.0)
        users.setdefault(task.run, []).append(outcome.tally.impressions)
    for label in ("thompson", "egreedy", "ucb"):
        # By 0.05 and more in every run of many; chance alone moves a rate of 2,000 visits by 0.01.
        assert min(np.subtract(rates[label], rates["control:mode=uniform"])) > 0.02
    for each in users.values():
        assert all((other == each[0]).all() for other in each)
    assert len(set(rates["thompson"])) == 4


def test_results_are_the_same_bytes_in_one_process_and_in_two(truth: Truth, tmp_path: Path) -> None:
    of = plan("thompson", "control")
    for name, engine in (("1", ALONE), ("2", Processes(2))):
        found = ran(truth, of, engine=engine)
        results = run_file.told(truth, of, found, arguments=("--seeds", "2"), sources=())
        run_file.write(tmp_path / name, results, found)
    for name in ("results.json", "runs.parquet", "curves.parquet"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    assert run_file.read(tmp_path / "1").under[0].policies.keys() == {"thompson", "control"}
    (tmp_path / "1" / "results.json").write_text("{")
    with pytest.raises(DatasetError, match="is not what `pullarm replay run` writes"):
        run_file.read(tmp_path / "1")


def test_a_simulated_log_is_evaluated_to_the_truth(truth: Truth, tmp_path: Path) -> None:
    """The logging policy on its own log exactly; another one, frozen there, by DR to 5.5 standard errors."""
    long = replace(truth, n_events=20_000)
    of = plan("thompson", "egreedy:epsilon=0.3", runs=1)
    simulated_log.write(tmp_path, long, of)
    loose = Settings(draws=10, gates=replace(STANDARD, effective_rounds=100.0))
    for candidate in of.candidates:
        folder = tmp_path / "logs" / candidate.label
        log = open_log(folder)
        versions = msgspec.json.decode((folder / simulated_log.POSTERIORS).read_bytes())
        own = Learned(
            candidate.build(),
            {
                each["version"]: Belief(
                    posterior(
                        log.head.arms,
                        {arm: (of["serves"], of["rewards"]) for arm, of in each["arms"].items()},
                    ),
                    Grid(number=1, points=np.array(each["grid"])) if each["grid"] else None,
                )
                for each in versions
            },
        )
        outcome = long.run(candidate.build(), SETTING, of.seed_of(Task(candidate, SETTING, 0)))
        itself = evaluate(
            log, own, logged_by=[candidate.label], settings=loose, done=lambda _: None
        )
        assert itself.findings().max_weight == 1.0 == itself.findings().mean_weight
        assert itself.estimators["ips"].get() == pytest.approx(outcome.rate, abs=1e-12)
        other = evaluate(
            log,
            SIMPLE["uniform"](),
            logged_by=[candidate.label],
            settings=loose,
            done=lambda _: None,
        )
        uniform = long.run(build("control", {"mode": "uniform"}), SETTING, SEED)
        found = other.report().estimates["dr"]
        error = (found.normal.upper - found.normal.lower) / (2 * 1.96)
        assert abs(found.value - (uniform.rate or 0.0)) < 5.5 * (error + 0.5 / 20_000**0.5)


def test_comparisons_hold_policies_against_control_and_each_other(truth: Truth) -> None:
    of = plan("thompson", "control", runs=6)
    found = ran(truth, of)
    runs = {
        label: [outcome for task, outcome in found if task.candidate.label == label]
        for label in ("thompson", "control")
    }
    told = compare(runs, truth.cohorts, "control")
    rates = {label: np.array([each.rate for each in of]) for label, of in runs.items()}
    thompson, control = told["thompson"], told["control"]
    assert thompson.rate.value == pytest.approx(rates["thompson"].mean())
    difference = rates["thompson"] - rates["control"]
    assert thompson.less_control is not None
    assert thompson.less_control.value == pytest.approx(difference.mean())
    assert thompson.less_control.upper == pytest.approx(
        difference.mean() + 2.5705818 * difference.std(ddof=1) / 6**0.5
    )
    assert (thompson.best, thompson.less_best, control.less_control) == ("thompson", None, None)
    assert control.less_best is not None
    assert control.less_best.value == pytest.approx(-difference[1::2].mean())
    (gender,) = [each for each in thompson.cohorts if each.attribute == "gender"]
    assert [each.value for each in gender.cohorts] == ["F", "M"]
    assert sum(each.decisions for each in gender.cohorts) + gender.too_few == 12_000
    weighted = sum(each.decisions * (each.rate.value or 0.0) for each in gender.cohorts)
    assert weighted / 12_000 == pytest.approx(thompson.by_users.value)
    assert len(thompson.periods) == 14
    assert thompson.stability is not None
    assert thompson.shares[0].share >= thompson.shares[-1].share
    assert sum(each.share for each in thompson.shares) == pytest.approx(1.0)
    assert 0 < thompson.entropy < control.entropy <= 1


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("thompson:floor", "is not NAME=VALUE"),
        ("thompson:floor=2", "between 0 and 1"),
        ("nobody", "nobody"),
    ],
)
def test_a_policy_that_is_none_is_refused(said: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Candidate.read(said)


def test_a_plan_runs_each_policy_once() -> None:
    with pytest.raises(ValueError, match="policy ucb is given twice"):
        plan("ucb", "ucb")
    with pytest.raises(ValueError, match="a policy, a setting and a run"):
        plan(runs=1)
    with pytest.raises(ValueError, match="every"):
        Setting(every=0)
    with pytest.raises(ValueError, match="delay_min"):
        Setting(delay_min=-1)
