"""The *truth* way: real users choose among arms whose rating by that very user is known."""

from collections.abc import Iterator, Sequence
from copy import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from replay import movielens, window
from replay.errors import DatasetError
from replay.ratings import Ratings
from replay.traffic import BLOCK_VISITS, ArmSpec, Block, Visit, check_handful

_UNRATED = -1


class Visits:
    """Visits of real users, each offered a random handful of the arms that this user has rated.

    A user is drawn uniformly among those who rated at least two of the arms. The candidates are a
    uniformly random subset in uniformly random order: `handful` of the user's rated arms, or all
    of them where the user rated fewer. The outcome of a candidate is 1 where the user's rating is
    4 or 5. All ratings of the data set count, not only those of the window that named the arms:
    the window says which movies are worth asking about, the whole set what each user thinks of
    them.
    """

    def __init__(
        self,
        ratings: Ratings,
        arms: Sequence[int],
        *,
        seed: int,
        handful: int = 10,
        label: str | None = None,
    ) -> None:
        """Raises ValueError for repeated or unknown arms or a bad handful, DatasetError where nobody can visit."""
        _check_arms(ratings, arms)
        check_handful(handful, len(arms))
        users, self._outcome = _outcomes(ratings, arms)
        if not len(users):
            raise DatasetError(
                f"no user of {ratings.name} has rated two of the {len(arms)} arms, so that there is "
                "nothing to choose: use the complete data set, or other arms"
            )
        self._user_ids = [str(user) for user in users.tolist()]
        self.cohorts = ratings.people.of(users)
        """What is known of the users, by attribute, in the order of their rows."""
        self._seed = seed
        self._handful = handful
        self.label = label or f"MovieLens {ratings.name}: {len(arms)} movies, real ratings"
        self.arms = tuple(ArmSpec(id=str(arm), label=ratings.titles[arm]) for arm in arms)

    @property
    def n_users(self) -> int:
        """How many users can visit."""
        return len(self._user_ids)

    @property
    def rates(self) -> NDArray[np.float64]:
        """What showing each arm earns where it is on offer, in expectation, (n_arms,); 0 for one that never is."""
        rated = self._outcome != _UNRATED
        size = rated.sum(axis=1)
        offered = rated * (np.minimum(size, self._handful) / size)[:, np.newaxis]
        liked = (offered * (self._outcome == 1)).sum(axis=0)
        total = offered.sum(axis=0)
        return np.asarray(np.divide(liked, total, out=np.zeros(len(total)), where=total > 0.0))

    def seeded(self, seed: int) -> Self:
        """The same users and arms, other visits."""
        other = copy(self)
        other._seed = seed
        return other

    def visits(self) -> Iterator[Visit]:
        """Endless; every call starts again from the seed."""
        arm_ids = [arm.id for arm in self.arms]
        for block in self.blocks():
            yield from block.visits(self._user_ids, arm_ids)

    def blocks(self) -> Iterator[Block]:
        """The same visits as index arrays: rows of users as drawn, columns of `arms`."""
        rng = np.random.Generator(np.random.PCG64(self._seed))
        rated = self._outcome != _UNRATED
        size = np.minimum(rated.sum(axis=1), self._handful)
        while True:
            user = rng.integers(len(self._outcome), size=BLOCK_VISITS)
            # The smallest of random keys are a random subset in random order; unrated arms last.
            key = np.where(rated[user], rng.random((BLOCK_VISITS, rated.shape[1])), 2.0)
            candidates = np.argsort(key, axis=1, kind="stable")[:, : self._handful]
            outcomes = np.take_along_axis(self._outcome[user], candidates, axis=1)
            yield Block(user=user, candidates=candidates, outcomes=outcomes, size=size[user])


def from_folder(
    folder: Path, *, seed: int, handful: int = 10, days: int = 14, count: int = 50
) -> Visits:
    """Visits to the `count` most-rated movies of the busiest `days` days of a MovieLens folder.

    Raises DatasetError where its files are not sound or hold too little to choose from.
    """
    ratings = movielens.load(folder)
    busiest = window.busiest(ratings, days=days)
    arms = window.top_arms(ratings, busiest, count=count)
    if len(arms) < 2:
        raise DatasetError(
            f"{folder}: the busiest {days} days hold ratings of {len(arms)} movie, and a choice needs "
            "two at least: copy the files again from MovieLens's own archive"
        )
    label = (
        f"MovieLens {ratings.name}: the {len(arms)} most-rated movies of "
        f"{_minute(busiest.start_s)} to {_minute(busiest.end_s)} UTC, real ratings"
    )
    return Visits(ratings, arms, seed=seed, handful=min(handful, len(arms)), label=label)


def _check_arms(ratings: Ratings, arms: Sequence[int]) -> None:
    seen: set[int] = set()
    for arm in arms:
        if arm in seen or arm not in ratings.titles:
            problem = "is repeated" if arm in seen else f"is not a movie of {ratings.name}"
            raise ValueError(f"arms must be different movies of the data set: {arm} {problem}")
        seen.add(arm)


def _minute(timestamp_s: int) -> str:
    return datetime.fromtimestamp(timestamp_s, UTC).strftime("%Y-%m-%d %H:%M")


def _outcomes(ratings: Ratings, arms: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Users with two rated arms or more, ascending, and their outcomes, (n_users, n_arms)."""
    by_id = np.argsort(np.array(arms))
    asked = np.flatnonzero(np.isin(ratings.movie, arms))
    arm = by_id[np.searchsorted(np.array(arms)[by_id], ratings.movie[asked])]
    users, row = np.unique(ratings.user[asked], return_inverse=True)
    outcome = np.full((len(users), len(arms)), _UNRATED, dtype=np.int8)
    outcome[row, arm] = ratings.liked[asked]
    eligible = (outcome != _UNRATED).sum(axis=1) >= 2
    return users[eligible], outcome[eligible]
