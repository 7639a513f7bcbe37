"""The *rejection* way: a logged event counts only where the policy would have chosen the logged arm itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pullarm.policies.base import Policy
from replay.errors import DatasetError
from replay.learning import Learner, Setting, stream
from replay.log import BanditLog
from replay.ratings import Ratings
from replay.tally import Decided, Outcome, Tally, period_days
from replay.traffic import ArmSpec
from replay.window import DAY_S, Window, top_arms


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Events:
    """Logged events in order, each of one arm, as if that had been chosen uniformly.

    Estimates are unbiased where it was, independently of all that went before: Li, Chu, Langford and Wang, "Unbiased
    offline evaluation of contextual-bandit-based news article recommendation algorithms" (WSDM 2011), theorem 1. People
    choose what they rate, so that on ratings this compares policies and promises nothing of live traffic.
    """

    way: ClassVar[str] = "rejection"

    label: str
    arms: tuple[ArmSpec, ...]
    arm: NDArray[np.int64]  # (n,) rows of `arms`
    user: NDArray[np.int64]  # (n,) rows of the users
    reward: NDArray[np.float64]  # (n,) 0 to 1
    time_s: NDArray[np.float64]  # (n,) from the start of the first day, ascending
    n_users: int
    cohorts: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by attribute, (n_users,)

    @property
    def n_events(self) -> int:
        """How many there are."""
        return len(self.arm)

    @property
    def days(self) -> int:
        """How many days they touch."""
        return int(self.time_s[-1] // DAY_S) + 1

    @property
    def rates(self) -> NDArray[np.float64]:
        """What each arm earned in all of its events, (n_arms,); 0 for an arm without any."""
        n = np.bincount(self.arm, minlength=len(self.arms))
        return np.bincount(self.arm, self.reward, len(self.arms)) / np.maximum(n, 1)

    def run(self, policy: Policy, setting: Setting, seed: np.random.SeedSequence) -> Outcome:
        """Go through the events once; only those that match are learnt from."""
        decided = self.replayed(policy, setting, seed)
        length_s = period_days(self.days) * DAY_S
        periods = self.time_s // length_s
        tally = Tally.of(
            decided,
            period=periods[decided.event].astype(np.int64),
            shape=(len(self.arms), int(periods[-1]) + 1, self.n_users),
        )
        return Outcome.of(decided, tally, events=self.n_events)

    def replayed(self, policy: Policy, setting: Setting, seed: np.random.SeedSequence) -> Decided:
        """The events that the policy would have chosen itself."""
        from pullarm.policies.matching import matches

        draws, waits = (np.random.default_rng(stream(seed, number)) for number in (1, 2))
        ends = np.iinfo(np.int64)
        keys = draws.integers(ends.min, ends.max, size=(self.n_events, 2), endpoint=True)
        due_s = self.time_s + setting.delays_s(waits, self.n_events)
        learner = Learner(policy, len(self.arms))
        kept: list[NDArray[np.int64]] = []
        at = 0
        while at < self.n_events:
            found, at = matches(learner.prepared, self.arm, keys, first=at, most=setting.every)
            kept.append(found)
            if at < self.n_events:
                learner.serve(self.arm[found], self.reward[found], due_s[found])
                learner.publish(self.time_s[found[-1]])
        event = np.concatenate(kept)
        rates = self.rates
        return Decided(
            event=event,
            arm=self.arm[event],
            user=self.user[event],
            reward=self.reward[event],
            regret=rates.max() - rates[self.arm[event]],
        )


def from_ratings(ratings: Ratings, window: Window, *, count: int) -> Events:
    """The window's ratings of its `count` most-rated movies, by time, user and movie; a like earns 1.

    Raises DatasetError where fewer than two movies were rated in the window.
    """
    chosen = top_arms(ratings, window, count=count)
    if len(chosen) < 2:
        raise DatasetError(
            f"{ratings.name}: {len(chosen)} movie was rated in the window, and a choice needs two at least: take "
            "more days"
        )
    place = np.full(max(ratings.titles) + 1, -1)
    place[list(chosen)] = np.arange(len(chosen))
    asked = np.flatnonzero(window.contains(ratings.timestamp_s) & (place[ratings.movie] >= 0))
    order = asked[
        np.lexsort((ratings.movie[asked], ratings.user[asked], ratings.timestamp_s[asked]))
    ]
    users, user = np.unique(ratings.user[order], return_inverse=True)
    return Events(
        label=f"{ratings.name}: {len(order):,} ratings of {len(chosen)} movies",
        arms=tuple(ArmSpec(id=str(movie), label=ratings.titles[movie]) for movie in chosen),
        arm=place[ratings.movie[order]],
        user=user,
        reward=ratings.liked[order].astype(np.float64),
        time_s=(ratings.timestamp_s[order] - window.start_s).astype(np.float64),
        n_users=len(users),
        cohorts=ratings.people.of(users),
    )


def from_log(log: BanditLog) -> Events:
    """Every row of a log whose rows could each choose any arm.

    Raises DatasetError where the rows list candidates of their own, or rewards lie outside 0 to 1.
    """
    head = log.head
    if head.offered != "every":
        raise DatasetError(
            f"{head.name}: rows chose among {head.offered} candidates; rejection needs a log whose rows could each "
            "choose any arm (`load --every-arm`)"
        )
    batches = list(log.batches())
    reward = np.concatenate([each.reward for each in batches])
    if ((reward < 0.0) | (reward > 1.0)).any():
        raise DatasetError(
            f"{head.name}: rewards must lie between 0 and 1, as posteriors have them"
        )
    users, user = np.unique(np.concatenate([each.user for each in batches]), return_inverse=True)
    known = [each.time_us for each in batches if each.time_us is not None]
    time_s = np.concatenate(known) / 1e6 if len(known) == len(batches) else np.zeros(len(reward))
    time_s = np.maximum.accumulate(time_s)  # rows count in the log's own order
    return Events(
        label=f"{head.name}: {len(reward):,} rows of {len(head.arms)} arms",
        arms=tuple(ArmSpec(id=arm, label=arm) for arm in head.arms),
        arm=np.concatenate([each.action for each in batches]).astype(np.int64),
        user=user,
        reward=reward,
        time_s=time_s - time_s[0] // DAY_S * DAY_S,
        n_users=len(users),
    )
