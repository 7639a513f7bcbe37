"""How long replay takes on ratings of ml-1m's size: to load them, 80 runs in the truth way, all of them by rejection.

The ratings are made up, because MovieLens's may not be passed on; their numbers of users, movies and ratings are its.
MABWiser's simulator goes through the first of the same events, where it is installed.
"""

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks import mabwiser_simulator
from benchmarks.sla import Limit
from replay import movielens, window
from replay.engines.local import Processes
from replay.learning import Candidate, Setting
from replay.ratings import Ratings
from replay.rejection import from_ratings
from replay.runs import Plan, outcomes
from replay.truth import Truth
from replay.visits import Visits
from replay.window import DAY_S

USERS, MOVIES, RATINGS = 6_040, 3_706, 1_000_209
VISITS = 27_789
"""Ratings of the 50 arms in ml-1m's busiest 14 days."""
RUNS = 20
POLICIES = ("thompson", "egreedy", "ucb", "control")
LIMITS = (
    Limit(figure="load_s", at_most=3, unit="s"),
    Limit(figure="truth_s", at_most=60, unit="s"),
    Limit(figure="slowest rejection_s", at_most=3, unit="s"),
)


def measure(
    *, seed: int, ratings: int = RATINGS, visits: int = VISITS, runs: int = RUNS
) -> dict[str, float]:
    """Seconds of loading all ratings, of four policies x `runs` over `visits` visits on all cores, and of each policy
    over all ratings."""
    made = _ratings(ratings, seed)
    with tempfile.TemporaryDirectory(prefix="pullarm-bench-") as folder:
        _write(Path(folder), made)
        started = time.perf_counter()
        movielens.load(Path(folder))
        load_s = time.perf_counter() - started
    whole = window.whole(made)
    arms = window.top_arms(made, whole, count=50)
    plan = Plan(
        candidates=tuple(map(Candidate.read, POLICIES)),
        settings=(Setting(every=100, delay_min=20),),
        runs=runs,
        seed=seed,
    )
    truth = Truth(visits=Visits(made, arms, seed=seed), n_events=visits)
    started = time.perf_counter()
    ran = list(outcomes(truth, plan, engine=Processes(os.cpu_count() or 1), done=lambda _: None))
    truth_s = time.perf_counter() - started
    found = {"load_s": load_s, "truth_s": truth_s, "runs": float(len(ran))}
    events = from_ratings(made, whole, count=MOVIES)
    for candidate in plan.candidates:
        policy, drawn = candidate.build(), np.random.SeedSequence(seed)
        started = time.perf_counter()
        events.run(policy, Setting(), drawn)
        took_s = time.perf_counter() - started
        found[f"{candidate.label} rejection_s"] = took_s
        found[f"{candidate.label} rejection_ns_per_event"] = took_s / events.n_events * 1e9
    found["slowest rejection_s"] = max(
        found[f"{candidate.label} rejection_s"] for candidate in plan.candidates
    )
    for name, ns in mabwiser_simulator.measure(events, seed=seed).items():
        found[f"mabwiser {name}_ns_per_event"] = ns
    return found


def table(found: Mapping[str, float]) -> str:
    """Nanoseconds an event of each policy, beside MABWiser's."""
    lines = [f"{'an event':<12}{'ours':>12}{'MABWiser':>16}"]
    for name in POLICIES:
        ours = found[f"{name} rejection_ns_per_event"]
        theirs = found.get(f"mabwiser {name}_ns_per_event")
        beside = "" if theirs is None else f"{theirs:>13,.0f} ns"
        lines.append(f"{name:<12}{ours:>9,.0f} ns{beside}")
    if not any(name.startswith("mabwiser") for name in found):
        lines.append("to compare: pip install 'pullarm[mabwiser]'")
    return "\n".join(lines)


def _ratings(count: int, seed: int) -> Ratings:
    rng = np.random.default_rng(seed)
    # Popular movies are the low numbers, as unequally rated as MovieLens's; nobody rates one twice.
    pairs = rng.integers(USERS, size=2 * count) * MOVIES + (
        MOVIES * rng.random(2 * count) ** 2
    ).astype(np.int64)
    pair = rng.permutation(np.unique(pairs))[:count]
    user, movie = np.divmod(pair, MOVIES)
    liked = rng.random(len(pair)) < 0.4 + 0.5 * (movie * 7 % MOVIES) / MOVIES
    return Ratings(
        name="made",
        user=user,
        movie=movie,
        rating=np.where(liked, 4, 3),
        timestamp_s=rng.integers(14 * DAY_S, size=len(pair)),
        titles={each: f"Movie {each}" for each in range(MOVIES)},
    )


def _write(folder: Path, ratings: Ratings) -> None:
    """In the format of ml-1m's own files."""
    columns = (ratings.user + 1, ratings.movie + 1, ratings.rating, ratings.timestamp_s)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    (folder / "ratings.dat").write_text("".join(f"{a}::{b}::{c}::{d}\n" for a, b, c, d in rows))
    movies = (f"{movie + 1}::{title}::Drama\n" for movie, title in ratings.titles.items())
    (folder / "movies.dat").write_text("".join(movies))
    users = (f"{user}::F::25::4::00000\n" for user in range(1, USERS + 1))
    (folder / "users.dat").write_text("".join(users))
