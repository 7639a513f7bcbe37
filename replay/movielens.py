"""MovieLens 1M and 100K read from the user's own folder, in the files' own encodings.

The data sets may not be redistributed, so nothing of them ships here. Source: F. M. Harper and
J. A. Konstan, The MovieLens Datasets: History and Context, ACM TiiS 5(4), Article 19, 2015.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from replay.errors import DatasetError
from replay.ratings import People, Ratings

_ID_DIGITS = 9  # keeps user * 10**9 + movie inside a signed 64-bit integer
_TIMESTAMP_DIGITS = 12
_LINE_SHOWN = 80
_LINE_END = b"\n"

_AGES = {1: "under 18", 18: "18-24", 25: "25-34", 35: "35-44", 45: "45-49", 50: "50-55", 56: "56+"}
"""By the youngest age, as ml-1m codes them; ml-100k's ages are put into the same bands."""
_OCCUPATIONS = (
    *("other or not specified", "academic/educator", "artist", "clerical/admin"),
    *("college/grad student", "customer service", "doctor/health care", "executive/managerial"),
    *("farmer", "homemaker", "K-12 student", "lawyer", "programmer", "retired", "sales/marketing"),
    *("scientist", "self-employed", "technician/engineer", "tradesman/craftsman", "unemployed"),
    "writer",
)
"""By ml-1m's code; ml-100k spells its own."""


class _Unclear(ValueError):
    """A field is none of those there can be; says what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    name: str
    ratings_file: str
    separator: bytes
    movies_file: str
    movie_separator: bytes
    movie_fields: int
    users_file: str
    user_separator: bytes
    user_fields: Sequence[str]  # after the id
    occupation: Callable[[str], str]
    published: Mapping[str, int]
    """What the data set holds as it was published."""


def _coded(code: str) -> str:
    if not code.isdecimal() or int(code) >= len(_OCCUPATIONS):
        raise _Unclear(f"expected an occupation from 0 to {len(_OCCUPATIONS) - 1}")
    return _OCCUPATIONS[int(code)]


def _spelled(word: str) -> str:
    if not word:
        raise _Unclear("expected an occupation")
    return word


_LAYOUTS = (
    _Layout(
        name="ml-1m",
        ratings_file="ratings.dat",
        separator=b"::",
        movies_file="movies.dat",
        movie_separator=b"::",
        movie_fields=3,
        users_file="users.dat",
        user_separator=b"::",
        user_fields=("gender", "age", "occupation", "zip"),
        occupation=_coded,
        published={"ratings": 1_000_209, "users": 6_040, "movies": 3_883},
    ),
    _Layout(
        name="ml-100k",
        ratings_file="u.data",
        separator=b"\t",
        movies_file="u.item",
        movie_separator=b"|",
        movie_fields=24,
        users_file="u.user",
        user_separator=b"|",
        user_fields=("age", "gender", "occupation", "zip"),
        occupation=_spelled,
        published={"ratings": 100_000, "users": 943, "movies": 1_682},
    ),
)


def load(folder: Path) -> Ratings:
    """Read the MovieLens 1M or 100K files found directly in `folder`.

    Raises:
        DatasetError: no such files, an empty or cut-off one, a malformed line, a rating outside
            1..5, a movie or user that is not listed, a second rating of one movie by one user. The
            message names the file and, where there is one, the line.
    """
    layout = _detect(folder)
    titles = _titles(folder / layout.movies_file, layout)
    people = _people(folder / layout.users_file, layout)
    path = folder / layout.ratings_file
    raw = _read(path)
    user, movie, rating, timestamp_s = _columns(path, raw, layout.separator)
    ratings = Ratings(
        name=layout.name,
        user=user,
        movie=movie,
        rating=rating,
        timestamp_s=timestamp_s,
        titles=titles,
        people=people,
    )
    _check(ratings, path, raw, layout)
    return ratings


def shortfall(ratings: Ratings) -> str | None:
    """In what the counts differ from those of the published data set, or None: a file that was cut at the end of a
    line cannot be told otherwise from a whole one."""
    published = next(each.published for each in _LAYOUTS if each.name == ratings.name)
    counts = ratings.counts
    differ = [
        f"{counts[what]:,} {what} instead of {count:,}"
        for what, count in published.items()
        if counts[what] != count
    ]
    return f"not {ratings.name} as it was published: {', '.join(differ)}" if differ else None


def source_files(folder: Path) -> tuple[Path, ...]:
    """The files that `load` reads; raises DatasetError where there are none."""
    layout = _detect(folder)
    return tuple(
        folder / name for name in (layout.ratings_file, layout.movies_file, layout.users_file)
    )


def _detect(folder: Path) -> _Layout:
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder: name the one that holds MovieLens's files")
    for layout in _LAYOUTS:
        if (folder / layout.ratings_file).exists():
            return layout
    looked_for = " or ".join(
        f"{layout.ratings_file} and {layout.movies_file} ({layout.name})" for layout in _LAYOUTS
    )
    raise DatasetError(f"{folder} holds no MovieLens data: looked for {looked_for}")


def _read(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except FileNotFoundError as exc:
        raise DatasetError(
            f"{path} is missing: copy it from MovieLens's own archive, beside the other files"
        ) from exc
    except OSError as exc:
        raise DatasetError(f"{path} cannot be read: {exc.strerror}") from exc
    if not raw.strip():
        raise DatasetError(f"{path} is empty: copy it again from MovieLens's own archive")
    if not raw.endswith(_LINE_END):
        raise DatasetError(
            f"{path}, line {raw.count(_LINE_END) + 1}: has no line end, so the file looks cut "
            "off: copy it again from MovieLens's own archive"
        )
    return raw.replace(b"\r\n", _LINE_END)


def _reject(path: Path, raw: bytes, index: int, problem: str) -> NoReturn:
    line = raw.split(_LINE_END, index + 1)[index].decode("latin-1")
    shown = line if len(line) <= _LINE_SHOWN else f"{line[:_LINE_SHOWN]}..."
    raise DatasetError(f"{path}, line {index + 1}: {problem}, found {shown!r}")


def _titles(path: Path, layout: _Layout) -> dict[int, str]:
    raw = _read(path)
    titles: dict[int, str] = {}
    for index, fields in enumerate(_split(raw, layout.movie_separator)):
        if len(fields) != layout.movie_fields or not _is_id(fields[0]):
            shape = layout.movie_separator.join((b"id", b"title", b"...")).decode("ascii")
            _reject(path, raw, index, f"expected {layout.movie_fields} fields, {shape}")
        movie = int(fields[0])
        if movie in titles:
            _reject(path, raw, index, f"movie {movie} is listed twice")
        titles[movie] = fields[1].decode("latin-1")
    return titles


def _split(raw: bytes, separator: bytes) -> list[list[bytes]]:
    # Split on the byte: str.splitlines would also split at Latin-1's control characters.
    return [line.split(separator) for line in raw[:-1].split(_LINE_END)]


def _people(path: Path, layout: _Layout) -> People:
    raw = _read(path)
    found: dict[int, tuple[str, str, str]] = {}
    for index, fields in enumerate(_split(raw, layout.user_separator)):
        if len(fields) != len(layout.user_fields) + 1 or not _is_id(fields[0]):
            shape = layout.user_separator.decode("ascii").join(("id", *layout.user_fields))
            _reject(path, raw, index, f"expected {shape!r}")
        user = int(fields[0])
        if user in found:
            _reject(path, raw, index, f"user {user} is listed twice")
        values = [field.decode("latin-1") for field in fields[1:]]
        try:
            found[user] = _person(dict(zip(layout.user_fields, values, strict=True)), layout)
        except _Unclear as unclear:
            _reject(path, raw, index, str(unclear))
    order = sorted(found)
    columns = zip(*(found[user] for user in order), strict=True)
    return People(
        user=np.array(order, dtype=np.int64),
        attributes=dict(zip(("gender", "age", "occupation"), columns, strict=True)),
    )


def _person(said: dict[str, str], layout: _Layout) -> tuple[str, str, str]:
    """Gender, age and occupation, in the same words for both data sets where they have them."""
    if said["gender"] not in ("F", "M"):
        raise _Unclear("expected the gender F or M")
    age = said["age"]
    if not age.isdecimal() or not 1 <= int(age) <= 120:
        raise _Unclear("expected an age from 1 to 120")
    youngest = max(each for each in _AGES if each <= int(age))
    return said["gender"], _AGES[youngest], layout.occupation(said["occupation"])


def _is_id(field: bytes) -> bool:
    return field.isdigit() and len(field) <= _ID_DIGITS


def _columns(path: Path, raw: bytes, separator: bytes) -> NDArray[np.int64]:
    """The file's four columns, as a read-only array of shape (4, n)."""
    malformed = _first_malformed(raw, separator)
    if malformed is not None:
        shape = separator.join((b"user", b"movie", b"rating", b"timestamp")).decode("ascii")
        _reject(path, raw, malformed, f"expected four whole numbers, {shape!r}")
    numbers = np.fromstring(raw.replace(separator, b" "), dtype=np.int64, sep=" ")
    columns = np.ascontiguousarray(numbers.reshape(-1, 4).T)
    columns.setflags(write=False)
    return columns


def _first_malformed(raw: bytes, separator: bytes) -> int | None:
    """Index of the first line that is not four whole numbers joined by `separator`, if any.

    A well-formed line holds the same bytes other than digits as every other, with as many digits
    before each as its column allows; up to the first line that breaks this, the bytes other than
    digits fall into rows of equal length, one row a line.
    """
    pattern = np.frombuffer(separator * 3 + _LINE_END, dtype=np.uint8)
    starts_number = np.zeros(len(pattern), dtype=np.bool_)
    starts_number[:: len(separator)] = True
    most_digits = np.where(starts_number, _ID_DIGITS, 0)
    most_digits[-1] = _TIMESTAMP_DIGITS

    text = np.frombuffer(raw, dtype=np.uint8)
    position = np.flatnonzero((text < ord("0")) | (text > ord("9")))
    digits = np.diff(position, prepend=-1) - 1
    lines = len(position) // len(pattern)
    whole = lines * len(pattern)
    found = text[position[:whole]].reshape(-1, len(pattern))
    width = digits[:whole].reshape(-1, len(pattern))
    good = ((found == pattern) & (width >= starts_number) & (width <= most_digits)).all(axis=1)
    if not good.all():
        return int(np.argmin(good))
    return None if whole == len(position) else lines


def _check(ratings: Ratings, path: Path, raw: bytes, layout: _Layout) -> None:
    """Refuse what is well formed but cannot be true."""
    outside = (ratings.rating < 1) | (ratings.rating > 5)
    if outside.any():
        _reject(path, raw, int(np.argmax(outside)), "expected a rating from 1 to 5")
    movies = np.fromiter(ratings.titles, dtype=np.int64)
    for what, column, listed, file in (
        ("movie", ratings.movie, movies, layout.movies_file),
        ("user", ratings.user, ratings.people.user, layout.users_file),
    ):
        unknown = ~np.isin(column, listed)
        if unknown.any():
            index = int(np.argmax(unknown))
            _reject(path, raw, index, f"{what} {column[index]} is not listed in {file}")
    pair = ratings.user * 10**_ID_DIGITS + ratings.movie
    order = np.argsort(pair, kind="stable")
    repeated = order[1:][pair[order[1:]] == pair[order[:-1]]]
    if len(repeated):
        index = int(repeated.min())
        problem = f"user {ratings.user[index]} has rated movie {ratings.movie[index]} before"
        _reject(path, raw, index, problem)
