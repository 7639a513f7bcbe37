import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from replay import synthetic, visits, window
from replay.errors import DatasetError
from replay.movielens import load
from replay.ratings import LIKE_FROM, Ratings
from replay.traffic import BLOCK_VISITS, OfferedRate, Traffic, Visit
from tests.movielens_miniature import BAD, GOOD, write_miniature

N_VISITS = 3 * BLOCK_VISITS + 17


@pytest.fixture(scope="module")
def ratings(tmp_path_factory: pytest.TempPathFactory) -> Ratings:
    return load(write_miniature(tmp_path_factory.mktemp("movielens"), seed=11))


@pytest.fixture(scope="module")
def arms(ratings: Ratings) -> tuple[int, ...]:
    return window.top_arms(ratings, window.busiest(ratings))


def take(traffic: Traffic, count: int = N_VISITS) -> list[Visit]:
    return list(itertools.islice(traffic.visits(), count))


@pytest.fixture(params=["truth", "synthetic"])
def build(
    request: pytest.FixtureRequest, ratings: Ratings, arms: tuple[int, ...]
) -> Callable[[int], Traffic]:
    """Traffic of either kind from a seed."""
    if request.param == "truth":
        return lambda seed: visits.Visits(ratings, arms, seed=seed)
    return lambda seed: synthetic.Visits(seed=seed)


def test_a_seed_is_the_traffic(build: Callable[[int], Traffic]) -> None:
    traffic = build(5)
    assert take(traffic) == take(traffic) == take(build(5))
    assert take(traffic, 50) != take(build(6), 50)


def test_candidates_are_different_arms_of_the_catalogue(build: Callable[[int], Traffic]) -> None:
    traffic = build(5)
    catalogue = {arm.id for arm in traffic.arms}
    for visit in take(traffic):
        assert 2 <= len(visit.candidates) <= 10
        assert len(set(visit.candidates)) == len(visit.candidates) == len(visit.outcomes)
        assert catalogue.issuperset(visit.candidates)
        assert set(visit.outcomes) <= {0, 1}


def test_the_offered_rate_is_what_a_random_choice_earns(build: Callable[[int], Traffic]) -> None:
    """Candidates come in random order, so always taking the first is a random choice."""
    taken = take(build(5))
    offered = OfferedRate()
    for visit in taken:
        offered = offered.add(visit)
    rate = offered.get()
    assert rate is not None
    first = np.array([visit.outcomes[0] for visit in taken])
    standard_error = first.std() / np.sqrt(len(first))
    assert abs(first.mean() - rate) < 4 * standard_error


def test_the_truth_is_what_the_user_rated(ratings: Ratings, arms: tuple[int, ...]) -> None:
    rows = zip(ratings.user.tolist(), ratings.movie.tolist(), ratings.rating.tolist(), strict=True)
    known = {(str(user), str(movie)): int(rating >= LIKE_FROM) for user, movie, rating in rows}
    rated = Counter(user for user, movie in known if int(movie) in arms)
    for visit in take(visits.Visits(ratings, arms, seed=5)):
        outcomes = [known[visit.user_id, arm] for arm in visit.candidates]
        assert list(visit.outcomes) == outcomes
        assert [visit.outcome(arm) for arm in visit.candidates] == outcomes
        assert len(visit.candidates) == min(10, rated[visit.user_id])


def test_users_come_equally_often_and_their_arms_too(
    ratings: Ratings, arms: tuple[int, ...]
) -> None:
    rows = zip(ratings.user.tolist(), ratings.movie.tolist(), strict=True)
    rated = Counter(str(user) for user, movie in rows if movie in arms)
    eligible = {user for user, count in rated.items() if count >= 2}
    taken = take(visits.Visits(ratings, arms, seed=5, handful=2), 60_000)
    per_user = Counter(visit.user_id for visit in taken)
    mean = len(taken) / len(eligible)
    assert per_user.keys() == eligible
    # Chi-square with hundreds of degrees of freedom; six standard deviations are sqrt(2 df) each.
    freedom = len(eligible) - 1
    chi_square = sum((count - mean) ** 2 / mean for count in per_user.values())
    assert abs(chi_square - freedom) < 6 * np.sqrt(2 * freedom)
    user, seen = per_user.most_common(1)[0]
    per_arm = Counter(arm for visit in taken if visit.user_id == user for arm in visit.candidates)
    expected = 2 * seen / len(per_arm)
    assert all(abs(count - expected) < 6 * np.sqrt(expected) for count in per_arm.values())


def test_planted_movies_earn_what_was_planted(ratings: Ratings, arms: tuple[int, ...]) -> None:
    earned: dict[str, list[int]] = {arm.id: [] for arm in visits.Visits(ratings, arms, seed=1).arms}
    for visit in take(visits.Visits(ratings, arms, seed=5)):
        for arm, outcome in zip(visit.candidates, visit.outcomes, strict=True):
            earned[arm].append(outcome)
    rate = {int(arm): np.mean(outcomes) for arm, outcomes in earned.items()}
    assert min(rate[arm] for arm in GOOD & rate.keys()) > 0.75
    assert max(rate[arm] for arm in BAD & rate.keys()) < 0.35


def test_arms_carry_the_movies_titles(ratings: Ratings, arms: tuple[int, ...]) -> None:
    traffic = visits.Visits(ratings, arms, seed=5)
    assert [(arm.id, arm.label) for arm in traffic.arms] == [
        (str(arm), ratings.titles[arm]) for arm in arms
    ]


def test_ratings_outside_the_window_count_and_users_of_one_arm_do_not_come() -> None:
    ratings = Ratings(
        name="made-up",
        user=np.array([1, 1, 2, 3, 3]),
        movie=np.array([7, 8, 7, 8, 9]),
        rating=np.array([4, 3, 5, 1, 5]),
        timestamp_s=np.array([0, 10**9, 5, 5, 5]),
        titles={7: "Seven", 8: "Eight", 9: "Nine"},
    )
    traffic = visits.Visits(ratings, (8, 7), seed=1, handful=2)
    seen = {(visit.user_id, visit.candidates, visit.outcomes) for visit in take(traffic, 50)}
    assert seen == {("1", ("7", "8"), (1, 0)), ("1", ("8", "7"), (0, 1))}


def test_a_folder_is_enough(tmp_path: Path, ratings: Ratings, arms: tuple[int, ...]) -> None:
    traffic = visits.from_folder(write_miniature(tmp_path, seed=11), seed=5)
    assert take(traffic, 100) == take(visits.Visits(ratings, arms, seed=5), 100)
    assert "ml-1m: the 50 most-rated movies of 2000-" in traffic.label


def test_synthetic_arms_earn_their_stated_rates() -> None:
    traffic = synthetic.Visits(seed=5)
    earned: dict[str, list[int]] = {arm.id: [] for arm in traffic.arms}
    for visit in take(traffic, 40_000):
        for arm, outcome in zip(visit.candidates, visit.outcomes, strict=True):
            earned[arm].append(outcome)
    for arm_spec, rate in zip(traffic.arms, synthetic.CLICK_RATES, strict=True):
        outcomes = earned[arm_spec.id]
        assert f"{rate:.1%}" in arm_spec.label
        standard_error = np.sqrt(rate * (1 - rate) / len(outcomes))
        assert abs(np.mean(outcomes) - rate) < 4.5 * standard_error
    assert sorted(synthetic.CLICK_RATES) == [(20 + 5 * step) / 1000 for step in range(20)]
    assert "SYNTHETIC" in traffic.label


def test_offered_rates_merge() -> None:
    low = Visit(user_id="u", candidates=("a", "b"), outcomes=(0, 1))
    high = Visit(user_id="u", candidates=("a", "b", "c"), outcomes=(1, 1, 1))
    assert OfferedRate().get() is None
    assert OfferedRate().add(low).add(high).get() == 0.75
    assert (OfferedRate().add(low) + OfferedRate().add(high)).get() == 0.75


def test_an_arm_that_was_not_offered_has_no_outcome() -> None:
    visit = Visit(user_id="u", candidates=("a", "b"), outcomes=(0, 1))
    with pytest.raises(ValueError, match="arm 'c' was not offered to user 'u'"):
        visit.outcome("c")


def test_wrong_settings_are_named(ratings: Ratings, arms: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="handful must lie between 2 and the 50 arms, not 1"):
        visits.Visits(ratings, arms, seed=1, handful=1)
    with pytest.raises(ValueError, match="handful must lie between 2 and the 20 arms, not 21"):
        synthetic.Visits(seed=1, handful=21)
    with pytest.raises(ValueError, match="users must be at least 1"):
        synthetic.Visits(seed=1, users=0)
    with pytest.raises(ValueError, match="4 is not a movie of ml-1m"):
        visits.Visits(ratings, (3, 4), seed=1, handful=2)
    with pytest.raises(ValueError, match="different movies of the data set: 3 is repeated"):
        visits.Visits(ratings, (3, 7, 3), seed=1, handful=2)


def test_arms_nobody_rated_twice_have_no_visitors(ratings: Ratings) -> None:
    unrated = list(ratings.titles)[-2:]
    with pytest.raises(DatasetError, match="no user of ml-1m has rated two of the 2 arms"):
        visits.Visits(ratings, unrated, seed=1, handful=2)


@pytest.mark.parametrize(
    ("movies", "problem"),
    [
        ((3,), "the busiest 14 days hold ratings of 1 movie, and a choice needs two at least"),
        ((3, 7), "no user of ml-1m has rated two of the 2 arms"),
    ],
)
def test_a_folder_with_too_little_to_choose_from_is_refused(
    tmp_path: Path, movies: tuple[int, ...], problem: str
) -> None:
    """One user a movie, as in a data set that was cut off at the end of a line."""
    ratings = [f"{user}::{movie}::5::957000000" for user, movie in enumerate(movies, start=1)]
    (tmp_path / "ratings.dat").write_text("\n".join(ratings) + "\n", encoding="latin-1")
    titles = "3::Three::Drama\n7::Seven::Drama\n"
    (tmp_path / "movies.dat").write_text(titles, encoding="latin-1")
    users = [f"{user}::F::25::0::1" for user in range(1, len(movies) + 1)]
    (tmp_path / "users.dat").write_text("\n".join(users) + "\n", encoding="latin-1")
    with pytest.raises(DatasetError, match=problem):
        visits.from_folder(tmp_path, seed=1)
