"""Files that are nearly what a loader takes: read, or refused by an error of ours; never by one of Python's."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given

from cli.arms_file import read_arms
from pullarm.domain.errors import PullarmError
from pullarm.domain.key_rotation import Keys
from pullarm.storage.events import MalformedEntry, entry, pack, unpack
from replay import movielens
from replay.log_file import LogFormat, log_writer, read_log
from replay.readers.export import ExportReader
from replay.readers.table import NEEDED, TableReader
from replay.readers.vw import VwReader
from tests.builders import TOKEN
from tests.fuzz.edits import Edit, edited, edits
from tests.log_rows import page, slate
from tests.movielens_miniature import write_miniature

ARMS_JSON = b'{"arms": [{"id": "a", "label": "First"}, "b"]}'
ARMS_CSV = b"id,label\na,First\nb,Second\n"
TABLE = b"action,propensity,reward\na,0.5,1\nb,0.25,0\na,0.5,0.5\n"
VW = {
    "User": {"age": 3},
    "_multi": [{"_tag": "tea"}, {"j": {"a": 2}}],
    "_labelIndex": 0,
    "_label_Action": 1,
    "_label_Cost": 0.25,
    "_label_Probability": 0.5,
    "p": [0.5, 0.5],
    "a": [1, 2],
}


def _log(name: str) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"log.{name}"
        with path.open("wb") as stream:
            writer = log_writer(LogFormat(name), stream, ("click", "b"))
            writer.write(page(slate(Random(4)), ("click", "b")))
            writer.close()
        return path.read_bytes()


def _table(path: Path) -> object:
    return list(TableReader(path, {name: name for name in NEEDED}, csv=True).batches())


Loader = tuple[str, Callable[[], bytes], Callable[[Path], object]]
LOADERS: Mapping[str, Loader] = {
    "arms as json": ("arms.json", lambda: ARMS_JSON, read_arms),
    "arms as csv": ("arms.csv", lambda: ARMS_CSV, read_arms),
    "keys": (
        "keys.json",
        lambda: Keys.made().text().encode(),
        lambda path: Keys.parse(_text(path)),
    ),
    "table": ("table.csv", lambda: TABLE, _table),
    "vowpal wabbit": (
        "log.json",
        lambda: json.dumps(VW).encode() + b"\n",
        lambda path: list(VwReader(path).batches()),
    ),
    **{
        f"{what} of a log as {name}": (f"log.{name}", partial(_log, name), read)
        for name in LogFormat
        for what, read in (
            ("rows", lambda path: list(read_log(path))),
            ("batches", lambda path: list(ExportReader(path, "click").batches())),
        )
    },
}


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="replace")


@cache
def _genuine(what: str) -> bytes:
    return LOADERS[what][1]()


@pytest.mark.parametrize("what", LOADERS)
def test_a_file_that_is_whole_is_read(what: str, tmp_path: Path) -> None:
    name, _, load = LOADERS[what]
    (tmp_path / name).write_bytes(_genuine(what))
    load(tmp_path / name)


@pytest.mark.parametrize("what", LOADERS)
@given(changes=edits)
@example(changes=[Edit(0.90625, 1, b"+")])  # of Parquet: an integer of too few bits
@example(changes=[Edit(0.2963751857013855, 1, b"\x01")])  # a moment after the year 9999
def test_a_file_that_is_nearly_whole_is_read_or_refused(what: str, changes: list[Edit]) -> None:
    name, _, load = LOADERS[what]
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(edited(_genuine(what), changes))
        with suppress(PullarmError):
            load(path)


@pytest.fixture(scope="module")
def ratings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MovieLens's files with few lines."""
    folder = write_miniature(tmp_path_factory.mktemp("ml"), seed=1)
    path = folder / "ratings.dat"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:50]))
    return folder


@pytest.mark.parametrize("name", ["ratings.dat", "movies.dat", "users.dat"])
@given(changes=edits)
@example(changes=[Edit(0.5, 0, b"\xb9")])  # a digit, and no number
def test_movielens(ratings: Path, name: str, changes: list[Edit]) -> None:
    genuine = (ratings / name).read_bytes()
    (ratings / name).write_bytes(edited(genuine, changes))
    try:
        with suppress(PullarmError):
            movielens.load(ratings)
    finally:
        (ratings / name).write_bytes(genuine)


@given(changes=edits)
def test_entries_of_the_stream(changes: list[Edit]) -> None:
    whole = entry([], [], [pack(TOKEN)] * 3)
    assert len(unpack(whole).voids) == 3
    with suppress(MalformedEntry):
        unpack(edited(whole, changes))
