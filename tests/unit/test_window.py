import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay import window
from replay.movielens import load
from replay.ratings import Ratings
from replay.window import DAY_S, Grid, Measure
from replay.window_facts import describe, write_arms
from tests.movielens_data import movielens_folders, movielens_ratings
from tests.movielens_miniature import BUSY_END_S, BUSY_START_S, write_miniature

GRIDS: tuple[Grid, ...] = get_args(Grid)
MEASURES: tuple[Measure, ...] = get_args(Measure)
REFERENCE_NAME = {
    "first": "grid_first",
    "midnight": "grid_midnight",
    "day": "sliding_day",
    "event": "sliding_event",
}


def ratings_of(events: list[tuple[int, int, int]]) -> Ratings:
    """Ratings of (user, movie, timestamp_s)."""
    user, movie, timestamp_s = np.array(events, dtype=np.int64).reshape(-1, 3).T
    titles = {int(one): f"Movie {one}" for one in movie}
    return Ratings(
        name="made-up",
        user=user,
        movie=movie,
        rating=np.full(len(user), 4),
        timestamp_s=timestamp_s,
        titles=titles,
    )


def brute_force(ratings: Ratings, days: int, by: Measure, grid: Grid) -> dict[str, int]:
    """The definition, one window after the other."""
    events = list(zip(ratings.user.tolist(), ratings.timestamp_s.tolist(), strict=True))
    times = [time_s for _, time_s in events]
    first, last, span = min(times), max(times), days * DAY_S
    midnight = first // DAY_S * DAY_S
    starts = {
        "first": range(first, last + 1, span),
        "midnight": range(midnight, last + 1, span),
        "day": range(midnight, last + 1, DAY_S),
        "event": sorted(set(times)),
    }[grid]
    best: dict[str, int] = {}
    for start in starts:
        inside = [user for user, time_s in events if start <= time_s < start + span]
        found = {"start": start, "ratings": len(inside), "users": len(set(inside))}
        if not best or found[by] > best[by]:
            best = found
    return best


def expected(style: str, by: Measure, grid: Grid) -> tuple[Ratings, dict[str, Any]]:
    """The data at hand and its best window: from the reference file, else by the definition."""
    folder = movielens_folders()[style]
    ratings = movielens_ratings(style)
    reference = folder / "reference" / "reference.json"
    if reference.exists():
        windows = json.loads(reference.read_bytes())["best_windows"]
        found: dict[str, Any] = windows[f"{REFERENCE_NAME[grid]}_by_{by}"]
        return ratings, found
    return ratings, brute_force(ratings, 14, by, grid)


@pytest.mark.parametrize("by", MEASURES)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("style", ["ml-1m", "ml-100k"])
def test_best_windows_equal_the_reference(style: str, grid: Grid, by: Measure) -> None:
    ratings, reference = expected(style, by, grid)
    found = window.busiest(ratings, by=by, grid=grid)
    assert (found.start_s, found.ratings, found.users) == (
        reference["start"],
        reference["ratings"],
        reference["users"],
    )
    assert found.end_s == reference["start"] + 14 * DAY_S
    inside = found.contains(ratings.timestamp_s)
    assert inside.sum() == reference["ratings"]
    if "top50" in reference:
        assert list(window.top_arms(ratings, found)) == reference["top50"]["movie_ids"]
        assert int(ratings.liked[inside].sum()) == reference["likes"]


@pytest.mark.parametrize("by", MEASURES)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("style", ["ml-1m", "ml-100k"])
def test_top_arms_equal_the_reference_table(style: str, grid: Grid, by: Measure) -> None:
    ratings = movielens_ratings(style)
    found = window.busiest(ratings, by=by, grid=grid)
    inside = found.contains(ratings.timestamp_s)
    table = movielens_folders()[style] / "reference"
    table /= f"reference_top50_{style}_{REFERENCE_NAME[grid]}_by_{by}.csv"
    seen = Counter(ratings.movie[inside].tolist())
    liked = Counter(ratings.movie[inside & ratings.liked].tolist())
    mine = [
        (arm, seen[arm], liked[arm], ratings.titles[arm]) for arm in window.top_arms(ratings, found)
    ]
    if table.exists():
        with table.open(encoding="utf-8", newline="") as lines:
            rows = [
                (int(row["movie"]), int(row["n"]), int(row["likes"]), row["title"])
                for row in csv.DictReader(lines)
            ]
        assert mine == rows
    else:
        in_order = sorted(seen, key=lambda movie: (-seen[movie], movie))[:50]
        assert [row[0] for row in mine] == in_order


@pytest.mark.parametrize("by", MEASURES)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("style", ["ml-1m", "ml-100k"])
def test_facts_equal_the_reference(style: str, grid: Grid, by: Measure) -> None:
    """Every number of the window and of its fifty movies, and their table to the byte."""
    ratings = movielens_ratings(style)
    facts = describe(ratings, window.busiest(ratings, by=by, grid=grid))
    folder = movielens_folders()[style] / "reference"
    found = msgspec.to_builtins(facts, str_keys=True)
    top = found.pop("top")
    arms = top.pop("arms")
    if (folder / "reference.json").exists():
        windows = json.loads((folder / "reference.json").read_bytes())["best_windows"]
        expected = windows[f"{REFERENCE_NAME[grid]}_by_{by}"]
        expected_top = expected.pop("top50")
        assert [arm["movie"] for arm in arms] == expected_top.pop("movie_ids")
        for which in ("best_fixed_arm", "worst_fixed_arm"):
            del top[which]["users"]  # the reference leaves it out here; the table below has it
        assert found == expected
        assert top == expected_top
        table = io.StringIO(newline="")
        write_arms(table, facts.top.arms)
        name = f"reference_top50_{style}_{REFERENCE_NAME[grid]}_by_{by}.csv"
        assert table.getvalue().encode() == (folder / name).read_bytes()
    else:
        _by_hand(ratings, found, top, arms)


def _by_hand(
    ratings: Ratings, found: dict[str, Any], top: dict[str, Any], arms: list[dict[str, Any]]
) -> None:
    """The same facts one rating after the other."""
    inside = (ratings.timestamp_s >= found["start"]) & (
        ratings.timestamp_s < found["end_exclusive"]
    )
    rows = list(
        zip(
            ratings.user[inside].tolist(),
            ratings.movie[inside].tolist(),
            ratings.liked[inside].tolist(),
            strict=True,
        )
    )
    assert found["ratings"] == len(rows) == sum(found["histogram"].values())
    assert (found["users"], found["movies"]) == tuple(len({row[i] for row in rows}) for i in (0, 1))
    assert found["ctr"] == sum(row[2] for row in rows) / len(rows)
    for arm in arms:
        mine = [row for row in rows if row[1] == arm["movie"]]
        assert (arm["n"], arm["likes"]) == (len(mine), sum(row[2] for row in mine))
        assert (arm["like_rate"], arm["users"]) == (arm["likes"] / arm["n"], len(mine))
    rates = [arm["like_rate"] for arm in arms]
    assert top["best_fixed_arm"]["like_rate"] == max(rates)
    assert top["worst_fixed_arm"]["like_rate"] == min(rates)
    assert top["ratings"] == sum(arm["n"] for arm in arms)
    assert abs(top["uniform_arm_value"] - sum(rates) / len(rates)) < 1e-12


@pytest.mark.parametrize("grid", ["first", "midnight"])
@pytest.mark.parametrize("style", ["ml-1m", "ml-100k"])
def test_activity_counts_every_window_of_a_grid(style: str, grid: Grid) -> None:
    folder = movielens_folders()[style]
    ratings = movielens_ratings(style)
    seen = window.activity(ratings, grid=grid)
    assert seen.ratings.sum() == len(ratings)
    busy = seen.ratings > 0
    mine = list(
        zip(
            seen.start_s[busy].tolist(),
            seen.ratings[busy].tolist(),
            seen.users[busy].tolist(),
            strict=True,
        )
    )
    reference = folder / "reference" / "reference.json"
    if reference.exists():
        rows = json.loads(reference.read_bytes())[REFERENCE_NAME[grid]]
        assert mine == [(row["start"], row["ratings"], row["users"]) for row in rows]
    else:
        start_s = int(seen.start_s[0])
        bucket = (ratings.timestamp_s - start_s) // (14 * DAY_S)
        assert [row[1] for row in mine] == np.unique(bucket, return_counts=True)[1].tolist()


def test_the_planted_busy_days_are_found(tmp_path: Path) -> None:
    ratings = load(write_miniature(tmp_path, seed=3))
    found = window.busiest(ratings)
    assert abs(found.start_s - BUSY_START_S) < 2 * DAY_S
    assert found.start_s < BUSY_END_S <= found.end_s + 2 * DAY_S


TIMES_S = st.integers(0, 12).map(lambda half: half * DAY_S // 2) | st.integers(0, 12 * DAY_S)
EVENTS = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), TIMES_S), min_size=1, max_size=25)


@settings(max_examples=200, deadline=None)
@given(
    events=EVENTS,
    days=st.integers(1, 4),
    by=st.sampled_from(MEASURES),
    grid=st.sampled_from(GRIDS),
)
def test_the_busiest_window_is_what_the_definition_says(
    events: list[tuple[int, int, int]], days: int, by: Measure, grid: Grid
) -> None:
    ratings = ratings_of(events)
    found = window.busiest(ratings, days=days, by=by, grid=grid)
    assert {
        "start": found.start_s,
        "ratings": found.ratings,
        "users": found.users,
    } == brute_force(ratings, days, by, grid)
    assert found.end_s - found.start_s == days * DAY_S


def test_the_end_of_a_window_is_outside_it() -> None:
    found = window.busiest(ratings_of([(1, 1, 1_000), (2, 1, 1_000 + 14 * DAY_S)]))
    assert (found.start_s, found.ratings, found.users) == (1_000, 1, 1)
    edges_s = np.array([999, 1_000, 999 + 14 * DAY_S, 1_000 + 14 * DAY_S])
    assert found.contains(edges_s).tolist() == [False, True, True, False]


def test_ties_go_to_the_smaller_movie_and_outside_ratings_do_not_count() -> None:
    ratings = ratings_of([(1, 9, 0), (2, 5, 0), (3, 7, 0), (4, 7, 0), (5, 1, 20 * DAY_S)])
    found = window.busiest(ratings)
    assert window.top_arms(ratings, found) == (7, 5, 9)
    assert window.top_arms(ratings, found, count=2) == (7, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"days": 0}, "days must be at least 1, not 0"),
        ({"by": "likes"}, "by must be one of ratings, users, not 'likes'"),
        ({"grid": "week"}, "grid must be one of first, midnight, day, event, not 'week'"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        window.busiest(ratings_of([(1, 1, 0)]), **arguments)


def test_no_ratings_means_no_window() -> None:
    with pytest.raises(ValueError, match="no ratings"):
        window.busiest(ratings_of([]))
