"""The busiest stretch of days in a set of ratings, and the movies rated most in it.

Windows are half open, [start, start + days * 86400), in unix seconds. The busiest has the highest
count of ratings or of distinct users; among equals the earliest start wins.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from replay.ratings import Ratings

DAY_S = 86_400

# first: back to back from the first rating. midnight: back to back from 00:00 UTC of the first
# rating's day. day: one starting at every 00:00 UTC. event: one at every distinct rating time.
Grid = Literal["first", "midnight", "day", "event"]
Measure = Literal["ratings", "users"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A half-open stretch of time and how much happened in it."""

    start_s: int
    end_s: int  # exclusive
    ratings: int
    users: int

    def contains(self, timestamp_s: NDArray[np.int64]) -> NDArray[np.bool_]:
        return (timestamp_s >= self.start_s) & (timestamp_s < self.end_s)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Activity:
    """How much happened in each window of a grid, in ascending order of start."""

    start_s: NDArray[np.int64]  # (n_windows,)
    ratings: NDArray[np.int64]  # (n_windows,)
    users: NDArray[np.int64]  # (n_windows,), distinct users with a rating in the window


def busiest(
    ratings: Ratings, *, days: int = 14, by: Measure = "ratings", grid: Grid = "event"
) -> Window:
    """The window of `days` days with the most ratings or users; ties go to the earliest start.

    Raises:
        ValueError: `days` below 1, an unknown `by` or `grid`, or no ratings at all.
    """
    if by not in get_args(Measure):
        raise ValueError(f"by must be one of {', '.join(get_args(Measure))}, not {by!r}")
    seen = activity(ratings, days=days, grid=grid)
    best = int(np.argmax(seen.ratings if by == "ratings" else seen.users))
    start_s = int(seen.start_s[best])
    return Window(
        start_s=start_s,
        end_s=start_s + days * DAY_S,
        ratings=int(seen.ratings[best]),
        users=int(seen.users[best]),
    )


def whole(ratings: Ratings) -> Window:
    """The window of all ratings; raises ValueError where there are none."""
    if not len(ratings):
        raise ValueError("there are no ratings to make a window of")
    return Window(
        start_s=int(ratings.timestamp_s.min()),
        end_s=int(ratings.timestamp_s.max()) + 1,
        ratings=len(ratings),
        users=len(np.unique(ratings.user)),
    )


def activity(ratings: Ratings, *, days: int = 14, grid: Grid = "event") -> Activity:
    """Ratings and distinct users of every window of the grid.

    Raises:
        ValueError: `days` below 1, an unknown `grid`, or no ratings at all.
    """
    if days < 1:
        raise ValueError(f"days must be at least 1, not {days}")
    if not len(ratings):
        raise ValueError("there are no ratings to look for a window in")
    span_s = days * DAY_S
    start_s = _starts(ratings.timestamp_s, span_s, grid)
    time_s = np.sort(ratings.timestamp_s)
    count = np.searchsorted(time_s, start_s + span_s) - np.searchsorted(time_s, start_s)
    return Activity(start_s=start_s, ratings=count, users=_users(ratings, start_s, span_s))


def top_arms(ratings: Ratings, window: Window, *, count: int = 50) -> tuple[int, ...]:
    """The movies rated most often in the window, at most `count`; ties go to the smaller id."""
    movie, n = np.unique(ratings.movie[window.contains(ratings.timestamp_s)], return_counts=True)
    order = np.lexsort((movie, -n))[:count]
    return tuple(movie[order].tolist())


def _starts(timestamp_s: NDArray[np.int64], span_s: int, grid: Grid) -> NDArray[np.int64]:
    first_s, last_s = int(timestamp_s.min()), int(timestamp_s.max())
    midnight_s = first_s - first_s % DAY_S
    match grid:
        case "first":
            return np.arange(first_s, last_s + 1, span_s)
        case "midnight":
            return np.arange(midnight_s, last_s + 1, span_s)
        case "day":
            return np.arange(midnight_s, last_s + 1, DAY_S)
        case "event":
            return np.unique(timestamp_s)
    raise ValueError(f"grid must be one of {', '.join(get_args(Grid))}, not {grid!r}")


def _users(ratings: Ratings, start_s: NDArray[np.int64], span_s: int) -> NDArray[np.int64]:
    """Distinct users in each window [start, start + span_s).

    A rating at x puts its user into the windows with x - span_s < start <= x. Per user, sorted by
    time, these ranges of windows grow to the right, so cutting each at the end of the one before
    leaves disjoint ranges that together are the windows in which that user is active.
    """
    order = np.lexsort((ratings.timestamp_s, ratings.user))
    user, time_s = ratings.user[order], ratings.timestamp_s[order]
    low = np.searchsorted(start_s, time_s - span_s, side="right")
    high = np.searchsorted(start_s, time_s, side="right")
    same_user = user[1:] == user[:-1]
    low[1:] = np.where(same_user, np.maximum(low[1:], high[:-1]), low[1:])
    kept = high > low
    size = len(start_s) + 1
    change = np.bincount(low[kept], minlength=size) - np.bincount(high[kept], minlength=size)
    return np.cumsum(change)[:-1]
