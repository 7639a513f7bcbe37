"""Loaded ratings as a folder of three Parquet files.

ratings.parquet   user, movie (int64), rating (int8, 1 to 5), timestamp_s (int64, unix seconds), in the source's order
movies.parquet    movie (int64), title (string); movies that nobody rated too
users.parquet     user (int64, ascending), then the attributes that are known (strings), as gender, age, occupation

The metadata of ratings.parquet has under the key `pullarm` a JSON object: kind "ratings", format 1, name, counts, and
the sources with their sizes and SHA-256. Every page has a checksum, so that damage is noticed when it is read.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from replay import movielens
from replay.errors import DatasetError
from replay.parquet import Head, read_table, write_table
from replay.ratings import People, Ratings
from replay.sources import SourceFile

if TYPE_CHECKING:
    import pyarrow as pa

RATINGS, _MOVIES, _USERS = "ratings.parquet", "movies.parquet", "users.parquet"
_KIND = "ratings"


def write_ratings(folder: Path, ratings: Ratings, sources: tuple[SourceFile, ...]) -> Head:
    """Write the three files, ratings last; raises DatasetError where that fails."""
    import pyarrow as pa

    people = {"user": ratings.people.user, **ratings.people.attributes}
    titles = {"movie": list(ratings.titles), "title": list(ratings.titles.values())}
    columns = {
        "user": ratings.user,
        "movie": ratings.movie,
        "rating": ratings.rating.astype(np.int8),
        "timestamp_s": ratings.timestamp_s,
    }
    head = Head(kind=_KIND, name=ratings.name, counts=ratings.counts, sources=sources)
    for name, table in ((_USERS, people), (_MOVIES, titles), (RATINGS, columns)):
        write_table(folder / name, pa.table(table), head if name == RATINGS else None)
    return head


def read_ratings(folder: Path) -> Ratings:
    """Ratings that `write_ratings` wrote; raises DatasetError naming the file that is missing or damaged."""
    head, table = read_table(folder / RATINGS, _KIND, ("user", "movie", "rating", "timestamp_s"))
    _, movies = read_table(folder / _MOVIES, None, ("movie", "title"))
    _, users = read_table(folder / _USERS, None, ("user",))
    ratings = Ratings(
        name=head.name,
        user=_int64(table, "user"),
        movie=_int64(table, "movie"),
        rating=_int64(table, "rating"),
        timestamp_s=_int64(table, "timestamp_s"),
        titles=dict(zip(movies["movie"].to_pylist(), movies["title"].to_pylist(), strict=True)),
        people=People(
            user=_int64(users, "user"),
            attributes={
                name: tuple(users[name].to_pylist())
                for name in users.column_names
                if name != "user"
            },
        ),
    )
    if ratings.counts != head.counts:
        raise DatasetError(
            f"{folder}: the files do not belong together: counted {ratings.counts}, written were {head.counts}; load "
            "the data set again"
        )
    return ratings


def _int64(table: "pa.Table", column: str) -> "np.typing.NDArray[np.int64]":
    values: np.typing.NDArray[np.int64] = table[column].to_numpy().astype(np.int64, copy=False)
    values.setflags(write=False)
    return values


def open_ratings(folder: Path) -> Ratings:
    """Ratings that `pullarm replay load` wrote, or else of MovieLens's own files; raises DatasetError."""
    return read_ratings(folder) if (folder / RATINGS).exists() else movielens.load(folder)
