"""Ratings in memory: who rated what, how well and when, and who they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

LIKE_FROM = 4  # a rating of 4 or 5 is a like: the binary reward everywhere in replay


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class People:
    """Who the users are, by attribute, for cohorts."""

    user: NDArray[np.int64]  # (u,), ascending, each once
    attributes: Mapping[str, Sequence[str]]  # by name, (u,) each

    def __post_init__(self) -> None:
        if any(len(values) != len(self.user) for values in self.attributes.values()):
            raise ValueError(
                f"every attribute must have {len(self.user)} values, one for each user"
            )

    def of(self, users: NDArray[np.int64]) -> dict[str, tuple[str, ...]]:
        """The attributes of these users, (n,), who are all known, in their order."""
        rows = np.searchsorted(self.user, users).tolist()
        return {
            name: tuple([values[row] for row in rows]) for name, values in self.attributes.items()
        }


def _nobody() -> People:
    return People(user=np.empty(0, dtype=np.int64), attributes={})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ratings:
    """Every rating of a data set in file order; the arrays share one length."""

    name: str
    user: NDArray[np.int64]  # (n,)
    movie: NDArray[np.int64]  # (n,), each a key of titles
    rating: NDArray[np.int64]  # (n,), 1..5
    timestamp_s: NDArray[np.int64]  # (n,), unix seconds
    titles: Mapping[int, str]  # also of movies that nobody rated
    people: People = field(default_factory=_nobody)

    def __post_init__(self) -> None:
        columns = (self.user, self.movie, self.rating, self.timestamp_s)
        if len({column.shape for column in columns}) != 1 or self.user.ndim != 1:
            shapes = ", ".join(str(column.shape) for column in columns)
            raise ValueError(f"columns must be one-dimensional and of one length, not {shapes}")

    def __len__(self) -> int:
        return len(self.user)

    @property
    def liked(self) -> NDArray[np.bool_]:
        return self.rating >= LIKE_FROM

    @property
    def counts(self) -> dict[str, int]:
        """How many ratings there are, likes among them, listed users and movies, and movies that were rated."""
        return {
            "ratings": len(self),
            "likes": int(self.liked.sum()),
            "users": len(self.people.user),
            "movies": len(self.titles),
            "rated_movies": len(np.unique(self.movie)),
        }
