"""Loaded ratings: the same as in the source, and refused where they are damaged, mixed up or something else."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from replay import movielens
from replay.errors import DatasetError
from replay.ratings import Ratings
from replay.ratings_file import open_ratings, read_ratings, write_ratings
from replay.sources import source_file
from tests.movielens_miniature import write_miniature


def loaded(folder: Path, seed: int = 7) -> tuple[Ratings, Path]:
    ratings = movielens.load(write_miniature(folder / "source", seed))
    files = movielens.source_files(folder / "source")
    write_ratings(folder / "out", ratings, tuple(map(source_file, files)))
    return ratings, folder / "out"


def damage(path: Path) -> None:
    """One bit in the middle of the values."""
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 4] ^= 1
    path.write_bytes(raw)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    ratings, out = loaded(tmp_path)
    again = open_ratings(out)
    for name in ("user", "movie", "rating", "timestamp_s"):
        column = getattr(again, name)
        assert column.dtype == "int64"
        assert column.tolist() == getattr(ratings, name).tolist()
    assert (again.name, again.titles) == (ratings.name, ratings.titles)
    assert again.people.user.tolist() == ratings.people.user.tolist()
    assert again.people.attributes == ratings.people.attributes


def test_movielens_own_files_are_opened_too(tmp_path: Path) -> None:
    ratings, _ = loaded(tmp_path)
    assert open_ratings(tmp_path / "source").counts == ratings.counts


def test_the_metadata_say_where_it_came_from(tmp_path: Path) -> None:
    _, out = loaded(tmp_path)
    said = pq.ParquetFile(out / "ratings.parquet").schema_arrow.metadata[b"pullarm"].decode()
    digest = source_file(tmp_path / "source" / "ratings.dat").sha256
    assert '"kind":"ratings"' in said
    assert f'"sha256":"{digest}"' in said


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    _, first = loaded(tmp_path / "first")
    _, second = loaded(tmp_path / "second")
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


@pytest.mark.parametrize("name", ["ratings.parquet", "movies.parquet", "users.parquet"])
def test_damage_is_noticed(tmp_path: Path, name: str) -> None:
    _, out = loaded(tmp_path)
    damage(out / name)
    with pytest.raises(DatasetError, match=f"{name} is no whole Parquet file: .*load the data set"):
        read_ratings(out)


@pytest.mark.parametrize("name", ["ratings.parquet", "movies.parquet", "users.parquet"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    _, out = loaded(tmp_path)
    (out / name).unlink()
    with pytest.raises(DatasetError, match=f"{name} is missing: `pullarm replay load` writes it"):
        read_ratings(out)


def test_files_of_two_loads_are_not_mixed(tmp_path: Path) -> None:
    _, out = loaded(tmp_path)
    table = pq.read_table(out / "users.parquet")
    pq.write_table(table.slice(0, 5), out / "users.parquet")
    with pytest.raises(DatasetError, match="do not belong together"):
        read_ratings(out)


def test_another_file_is_refused(tmp_path: Path) -> None:
    _, out = loaded(tmp_path)
    pq.write_table(pq.read_table(out / "movies.parquet"), out / "ratings.parquet")
    with pytest.raises(
        DatasetError, match=r"ratings.parquet was not written by `pullarm replay load`"
    ):
        read_ratings(out)


def test_nothing_is_left_of_what_cannot_be_written(tmp_path: Path) -> None:
    ratings, _ = loaded(tmp_path)
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(DatasetError, match="cannot be written"):
        write_ratings(tmp_path / "taken", ratings, ())


def test_fewer_ratings_than_were_published_are_told(tmp_path: Path) -> None:
    ratings, _ = loaded(tmp_path)
    said = movielens.shortfall(ratings)
    assert said is not None
    assert said.startswith("not ml-1m as it was published: ")
    assert said.endswith("240 users instead of 6,040, 90 movies instead of 3,883")
