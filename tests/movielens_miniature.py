"""A generated data set in MovieLens's own file formats, for machines without the real one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

Style = Literal["ml-1m", "ml-100k"]

DAY_S = 86_400
USERS = 240
MOVIES = 90
FIRST_S = 957_000_000
BUSY_START_S = FIRST_S + 100 * DAY_S + 4_321
BUSY_END_S = BUSY_START_S + 14 * DAY_S

# Ids leave gaps, as MovieLens's do, and the last ten movies are listed but never rated.
MOVIE_IDS = tuple(range(3, 3 + 4 * MOVIES, 4))
GOOD = frozenset(MOVIE_IDS[:70:10])  # liked by about nine in ten
BAD = frozenset(MOVIE_IDS[5:70:10])  # liked by about one in six
_RATED_MOVIES = MOVIES - 10


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    user: int
    movie: int
    rating: int
    timestamp_s: int


def write_miniature(folder: Path, seed: int, *, style: Style = "ml-1m") -> Path:
    """Write a whole small data set into `folder`, made if need be, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.Generator(np.random.PCG64(seed))
    rows = _rows(rng)
    if style == "ml-1m":
        _write(folder / "ratings.dat", [_ratings_line(row, "::") for row in rows])
        _write(folder / "movies.dat", [f"{movie}::{_title(movie)}::Drama" for movie in MOVIE_IDS])
        _write(folder / "users.dat", [_user_line(user) for user in range(1, USERS + 1)])
    else:
        shuffled = [rows[index] for index in rng.permutation(len(rows)).tolist()]
        _write(folder / "u.data", [_ratings_line(row, "\t") for row in shuffled])
        _write(folder / "u.item", [_item_line(movie) for movie in MOVIE_IDS])
        _write(folder / "u.user", [_u_user_line(user) for user in range(1, USERS + 1)])
    return folder


def _rows(rng: np.random.Generator) -> list[_Row]:
    """Every user rates a few dozen movies within a day or two; most users come in the busy days."""
    rows: list[_Row] = []
    popularity = np.linspace(3.0, 1.0, _RATED_MOVIES)
    for user in range(1, USERS + 1):
        joins_s = (
            rng.integers(BUSY_START_S, BUSY_END_S - 2 * DAY_S)
            if rng.random() < 0.6
            else rng.integers(FIRST_S, FIRST_S + 365 * DAY_S)
        )
        rated = rng.choice(
            _RATED_MOVIES,
            size=int(rng.integers(20, 45)),
            replace=False,
            p=popularity / popularity.sum(),
        )
        for index in rated.tolist():
            movie = MOVIE_IDS[index]
            timestamp_s = int(joins_s + rng.integers(2 * DAY_S))
            rating = _rating(rng, movie)
            rows.append(_Row(user=user, movie=movie, rating=rating, timestamp_s=timestamp_s))
    return rows


def _rating(rng: np.random.Generator, movie: int) -> int:
    like_rate = 0.9 if movie in GOOD else 0.16 if movie in BAD else 0.55
    liked = rng.random() < like_rate
    return int(rng.integers(4, 6) if liked else rng.integers(1, 4))


def _user_line(user: int) -> str:
    return (
        f"{user}::{'FM'[user % 2]}::{(1, 18, 25, 35, 45, 50, 56)[user % 7]}::{user % 21}::{user:05}"
    )


def _u_user_line(user: int) -> str:
    return f"{user}|{7 + user % 60}|{'MF'[user % 2]}|{('artist', 'lawyer')[user % 2]}|V{user:04}"


def _title(movie: int) -> str:
    # The accent is one byte in ISO-8859-1 and would not survive being read as UTF-8.
    return f"Café Numéro {movie}, The ({1950 + movie % 50})"


def _ratings_line(row: _Row, separator: str) -> str:
    return separator.join(
        str(number) for number in (row.user, row.movie, row.rating, row.timestamp_s)
    )


def _item_line(movie: int) -> str:
    genres = ["0"] * 19
    genres[movie % 19] = "1"
    return "|".join([str(movie), _title(movie), "01-Jan-1995", "", "http://example.org/", *genres])


def _write(path: Path, lines: list[str]) -> None:
    path.write_bytes("".join(f"{line}\n" for line in lines).encode("latin-1"))
