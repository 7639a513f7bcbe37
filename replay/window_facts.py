"""What happened in a window of ratings, and the table of its most-rated movies.

A like is a rating of 4 or 5, CTR is likes by ratings. Arms are in the order of `replay.window.top_arms`. The best arm
has the highest like rate (ties: more ratings, then the smaller id), the worst the lowest (ties alike).
`uniform_arm_value` is the mean of the arms' like rates.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from replay.ratings import Ratings
from replay.window import Window, top_arms


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A movie as an arm: how it was rated in the window."""

    rank: int  # from 1
    movie: int
    n: int
    likes: int
    users: int
    like_rate: float
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmFacts:
    """The ratings of the window's arms, together."""

    ratings: int
    users: int
    likes: int
    ctr: float
    uniform_arm_value: float
    min_count: int
    max_count: int
    best_fixed_arm: Arm
    worst_fixed_arm: Arm
    arms: Sequence[Arm]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowFacts:
    """A window, half open, in unix seconds and UTC."""

    start: int
    end_exclusive: int
    start_utc: str
    end_utc: str
    first_ts: int
    last_ts: int
    ratings: int
    users: int
    movies: int
    likes: int
    ctr: float
    histogram: Mapping[int, int]
    """How many ratings there are of each value that there is."""
    top: ArmFacts


def describe(ratings: Ratings, window: Window, *, count: int = 50) -> WindowFacts:
    """All facts of a window that holds a rating at least, with its `count` most-rated movies as arms."""
    inside = window.contains(ratings.timestamp_s)
    timestamp_s, movie, rating = (
        ratings.timestamp_s[inside],
        ratings.movie[inside],
        ratings.rating[inside],
    )
    user, liked = ratings.user[inside], ratings.liked[inside]
    likes = int(liked.sum())
    values, how_many = np.unique(rating, return_counts=True)
    return WindowFacts(
        start=window.start_s,
        end_exclusive=window.end_s,
        start_utc=_iso(window.start_s),
        end_utc=_iso(window.end_s),
        first_ts=int(timestamp_s.min()),
        last_ts=int(timestamp_s.max()),
        ratings=len(rating),
        users=len(np.unique(user)),
        movies=len(np.unique(movie)),
        likes=likes,
        ctr=likes / len(rating),
        histogram=dict(zip(values.tolist(), how_many.tolist(), strict=True)),
        top=_arms(ratings.titles, top_arms(ratings, window, count=count), user, movie, liked),
    )


def write_arms(stream: TextIO, arms: Sequence[Arm]) -> None:
    """The table as CSV, one arm a line; a stream opened with newline=""."""
    names = [each.name for each in fields(Arm)]
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(names)
    table.writerows([getattr(arm, name) for name in names] for arm in arms)


def _arms(
    titles: Mapping[int, str],
    chosen: Sequence[int],
    user: NDArray[np.int64],
    movie: NDArray[np.int64],
    liked: NDArray[np.bool_],
) -> ArmFacts:
    asked = np.isin(movie, chosen)
    user, movie, liked = user[asked], movie[asked], liked[asked]
    arms = []
    for rank, arm in enumerate(chosen, start=1):
        here = movie == arm
        n, likes = int(here.sum()), int(liked[here].sum())
        arms.append(
            Arm(
                rank=rank,
                movie=arm,
                n=n,
                likes=likes,
                users=len(np.unique(user[here])),
                like_rate=likes / n,
                title=titles[arm],
            )
        )
    likes = int(liked.sum())
    return ArmFacts(
        ratings=len(user),
        users=len(np.unique(user)),
        likes=likes,
        ctr=likes / len(user),
        # Summed one after the other, which no other sum promises: the same bits everywhere.
        uniform_arm_value=float(np.cumsum([arm.like_rate for arm in arms])[-1]) / len(arms),
        min_count=min(arm.n for arm in arms),
        max_count=max(arm.n for arm in arms),
        best_fixed_arm=max(arms, key=lambda arm: (arm.like_rate, arm.n, -arm.movie)),
        worst_fixed_arm=min(arms, key=lambda arm: (arm.like_rate, -arm.n, arm.movie)),
        arms=arms,
    )


def _iso(timestamp_s: int) -> str:
    return datetime.fromtimestamp(timestamp_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
