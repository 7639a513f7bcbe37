import json
from functools import partial
from typing import Any

import numpy as np
import pytest

from pullarm.policies.draw import choose
from pullarm.policies.posterior import Posterior
from pullarm.policies.registry import build
from replay import rejection, window
from replay.errors import DatasetError
from replay.learning import Setting, stream
from replay.log import LogHead, batch, in_memory
from replay.rejection import Events
from replay.window import Grid
from tests.movielens_data import movielens_folders, movielens_ratings
from tests.replay_learners import LEARNERS, Deterministic, Pick, fixed

SEED = np.random.SeedSequence(4)
WINDOWS: dict[Grid, str] = {
    "first": "grid_first_by_ratings",
    "midnight": "grid_midnight_by_ratings",
    "day": "sliding_day_by_ratings",
    "event": "sliding_event_by_ratings",
}


def by_the_rules(arms: list[int], rewards: list[int], n_arms: int, pick: Pick) -> dict[str, Any]:
    """Each event one after the other: kept where the learner picks its arm, and learnt from only then."""
    n, s, last = [0] * n_arms, [0] * n_arms, -1
    for event, (arm, reward) in enumerate(zip(arms, rewards, strict=True)):
        if pick(n, s) == arm:
            n[arm], s[arm], last = n[arm] + 1, s[arm] + reward, event
    kept = sum(n)
    return {
        "events": len(arms),
        "kept": kept,
        "reward": sum(s),
        "mean": sum(s) / kept if kept else None,
        "last_kept_event": last,
        "most_pulled": n.index(max(n)),
        "most_pulled_n": max(n),
        "arms_pulled": sum(each > 0 for each in n),
    }


def replayed(events: Events, pick: Pick) -> dict[str, Any]:
    decided = events.replayed(Deterministic(pick), Setting(every=1), SEED)
    n = np.bincount(decided.arm, minlength=len(events.arms))
    kept = len(decided.event)
    reward = int(decided.reward.sum())
    return {
        "events": events.n_events,
        "kept": kept,
        "reward": reward,
        "mean": reward / kept if kept else None,
        "last_kept_event": int(decided.event[-1]) if kept else -1,
        "most_pulled": int(n.argmax()),
        "most_pulled_n": int(n.max()),
        "arms_pulled": int((n > 0).sum()),
    }


def events_of(grid: Grid) -> Events:
    ratings = movielens_ratings("ml-1m")
    return rejection.from_ratings(ratings, window.busiest(ratings, grid=grid), count=50)


@pytest.mark.parametrize("grid", WINDOWS)
def test_deterministic_learners_equal_the_reference(grid: Grid) -> None:
    """The reference where the data are MovieLens's own, else the rules worked out one event after the other."""
    events = events_of(grid)
    arms, rewards = events.arm.tolist(), events.reward.astype(int).tolist()
    file = movielens_folders()["ml-1m"] / "reference" / "replay_reference.json"
    expected: dict[str, Any] = {
        name: by_the_rules(arms, rewards, len(events.arms), pick) for name, pick in LEARNERS.items()
    }
    learners = dict(LEARNERS)
    if file.exists():
        reference = json.loads(file.read_bytes())[f"ml-1m/{WINDOWS[grid]}"]
        assert expected == {name: reference[name] for name in LEARNERS}
        best = reference["best_fixed"]
        arm = best.pop("arm")
        assert int(events.rates.argmax()) == arm
        learners["best_fixed"], expected["best_fixed"] = partial(fixed, arm=arm), best
        assert (len(events.arms), events.n_events) == (reference["arms"], reference["events"])
        assert events.reward.mean() == reference["mean"]
    assert {name: replayed(events, pick) for name, pick in learners.items()} == expected


@pytest.mark.parametrize("name", ["thompson", "egreedy", "ucb"])
def test_events_are_kept_where_servings_own_draw_takes_their_arm(name: str) -> None:
    events = events_of("event")
    policy, n = build(name, {}), len(events.arms)
    decided = events.replayed(policy, Setting(every=10**9), SEED)  # nothing is published on the way
    least, most = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    rng = np.random.default_rng(stream(SEED, 1))
    keys = rng.integers(least, most, size=(events.n_events, 2), endpoint=True).astype("<i8")
    nothing = Posterior(serves_micro=np.zeros(n, np.int64), rewards_micro=np.zeros(n, np.int64))
    prepared = policy.prepare(nothing, grid=policy.plan_grid(nothing, None))
    drawn = [choose(policy, prepared, None, slots=1, uid=key.tobytes())[0].row for key in keys]
    assert decided.event.tolist() == np.flatnonzero(np.array(drawn) == events.arm).tolist()
    # A flat posterior draws each of the arms alike: 1 of n events is kept.
    assert abs(len(decided.event) - events.n_events / n) < 5.5 * (events.n_events / n) ** 0.5


def test_a_delayed_reward_is_learnt_when_it_comes() -> None:
    """One arm always pays, and greedily taken it is found; not if no reward comes before the end."""
    arm = np.tile([0, 1], 500)
    log = in_memory(
        LogHead(
            name="made",
            arms=("a", "b"),
            policies=("random",),
            rows=1000,
            offered="every",
            users_known=False,
        ),
        [
            batch(
                action=arm, propensity=np.full(1000, 0.5), reward=arm, time_us=np.arange(1000) * 1e6
            )
        ],
    )
    events = rejection.from_log(log)
    greedy = build("egreedy", {"epsilon": 0.0})
    at_once = events.run(greedy, Setting(every=10), SEED)
    late = events.run(greedy, Setting(every=10, delay_min=1e6), SEED)
    assert at_once.rate is not None
    assert at_once.rate > 0.95
    assert late.rate is not None
    assert 0.3 < late.rate < 0.7
    assert at_once.curve[-1].tolist() == [at_once.decisions, at_once.reward, at_once.regret]
    assert (np.diff(at_once.curve, axis=0)[:, :2] >= 0).all()
    assert at_once.regret == at_once.decisions - at_once.reward
    assert at_once.tally.shown.sum() == at_once.decisions == at_once.tally.impressions.sum()
    assert (at_once.tally + late.tally).rewards.sum() == at_once.reward + late.reward


@pytest.mark.parametrize(
    ("offered", "reward", "said"),
    [("unknown", 1.0, "could each choose any arm"), ("every", 2.0, "between 0 and 1")],
)
def test_a_log_that_cannot_be_replayed_is_refused(offered: Any, reward: float, said: str) -> None:
    head = LogHead(
        name="made", arms=("a",), policies=("p",), rows=1, offered=offered, users_known=False
    )
    log = in_memory(head, [batch(action=[0], propensity=[1.0], reward=[reward])])
    with pytest.raises(DatasetError, match=said):
        rejection.from_log(log)
