"""Bandit logs from any CSV or Parquet file, by a map of columns."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pullarm.domain.errors import InvalidInput
from replay.errors import DatasetError
from replay.readers.table import NEEDED, TableReader
from tests.log_columns import columns_of

PLAIN = {name: name for name in NEEDED}
EVERYTHING = PLAIN | {
    "user": "who",
    "context": "page",
    "policy": "by",
    "slot": "position",
    "version": "model",
    "target": "wanted",
    "time": "at",
    "candidates": "among",
    "probabilities": "shares",
}
NAMES = (
    *("action", "propensity", "reward", "who", "page", "by", "position", "model", "wanted"),
    *("among", "shares", "at"),
)
NOON = datetime(2026, 8, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=1, microseconds=5)
VALUES: tuple[tuple[Any, ...], ...] = (
    ("b", 0.75, 1.0, "ann", "home", "ucb", 1, 7, 0.5, ["a", "b"], [0.25, 0.75], NOON),
    (
        "a",
        0.5,
        0.25,
        "bob",
        "home",
        "egreedy",
        2,
        8,
        1.0,
        ["c", "a", "b"],
        [0.25, 0.5, 0.25],
        LATER,
    ),
)
ROWS = [dict(zip(NAMES, values, strict=True)) for values in VALUES]


def csv_file(path: Path, rows: list[dict[str, Any]]) -> Path:
    def cell(value: Any) -> str:
        if isinstance(value, list):
            return "|".join(map(str, value))
        return value.isoformat() if isinstance(value, datetime) else str(value)

    lines = [",".join(rows[0]), *(",".join(map(cell, row.values())) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def parquet_file(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture(params=["csv", "parquet"])
def kind(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


def reader(
    folder: Path,
    kind: str,
    rows: list[dict[str, Any]],
    columns: dict[str, str],
    **how: bool,
) -> TableReader:
    write = {"csv": csv_file, "parquet": parquet_file}[kind]
    return TableReader(write(folder / f"log.{kind}", rows), columns, csv=kind == "csv", **how)


def test_all_that_is_known_is_read_alike(tmp_path: Path, kind: str) -> None:
    source = reader(tmp_path, kind, ROWS, EVERYTHING)
    found = columns_of(source)
    head = source.head
    assert head.arms == ("b", "a", "c")
    assert head.policies == ("ucb", "egreedy")
    assert (head.name, head.rows, head.offered, head.users_known) == ("log", 2, "listed", True)
    assert found["action"] == [0, 1]
    assert found["candidates"] == [[1, 0], [2, 1, 0]]
    assert found["probability"] == [[0.25, 0.75], [0.25, 0.5, 0.25]]
    assert (found["propensity"], found["reward"]) == ([0.75, 0.5], [1.0, 0.25])
    assert (found["slot"], found["version"], found["policy"]) == ([1, 2], [7, 8], [0, 1])
    assert found["target"] == [0.5, 1.0]
    noon_us = 1_785_585_600_000_000
    assert found["time_us"] == [noon_us, noon_us + 1_000_005]
    assert found["user"][0] != found["user"][1]
    assert found["context"][0] == found["context"][1] != 0


def test_a_user_has_one_number_in_every_log(tmp_path: Path) -> None:
    as_text = reader(tmp_path, "csv", ROWS, EVERYTHING)
    again = reader(tmp_path, "parquet", ROWS[::-1], EVERYTHING)
    assert columns_of(as_text)["user"] == columns_of(again)["user"][::-1]


def test_what_is_not_known_is_not_made_up(tmp_path: Path, kind: str) -> None:
    source = reader(tmp_path, kind, ROWS, PLAIN)
    found = columns_of(source)
    assert found["user"] == [0, 1]
    assert not {"time_us", "target", "candidates"} & found.keys()
    assert (source.head.offered, source.head.users_known) == ("unknown", False)
    assert source.head.policies == ("logged",)


def test_needed_columns_may_have_our_names(tmp_path: Path, kind: str) -> None:
    rows = [{"action": "a", "p": 0.5, "reward": 1.0}]
    source = reader(tmp_path, kind, rows, {"propensity": "p"})
    assert (columns_of(source)["propensity"], source.head.arms) == ([0.5], ("a",))
    with pytest.raises(DatasetError, match=f"log.{kind}: .*propensity"):
        columns_of(reader(tmp_path, kind, rows, {}))


def test_every_arm_has_to_be_said(tmp_path: Path, kind: str) -> None:
    source = reader(tmp_path, kind, ROWS, PLAIN, every_arm=True)
    assert "candidates" not in columns_of(source)
    assert source.head.offered == "every"


@pytest.mark.parametrize("seconds", [1_785_585_600, 1_785_585_600.0])
def test_times_may_be_unix_seconds(tmp_path: Path, kind: str, seconds: float) -> None:
    rows = [row | {"at": seconds + number / 2} for number, row in enumerate(ROWS)]
    source = reader(tmp_path, kind, rows, PLAIN | {"time": "at"})
    assert columns_of(source)["time_us"] == [1_785_585_600_000_000, 1_785_585_600_500_000]


def test_rows_that_go_back_in_time_are_counted(tmp_path: Path, kind: str) -> None:
    source = reader(tmp_path, kind, ROWS[::-1], PLAIN | {"time": "at"})
    columns_of(source)
    assert source.head.counts == {"rows": 2, "out_of_order": 1}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"propensity": 0.0}, "propensity must be above 0 and at most 1, found 0.0"),
        ({"propensity": 1.5}, "propensity must be above 0 and at most 1, found 1.5"),
        ({"propensity": 0.7}, "propensity must be the probability of the action, found 0.7"),
        ({"reward": float("inf")}, "reward must be a finite number, found inf"),
        ({"position": 0}, "slot must be from 1, found 0"),
        ({"wanted": 1.1}, "target must be from 0 to 1, found 1.1"),
        ({"action": "z"}, "the action must be among its candidates, once, found 0"),
        ({"among": ["a", "a", "a"]}, "the action must be among its candidates, once, found 3"),
        ({"shares": [0.5, 0.5, 0.5]}, "the probabilities' sum must be 1, found 1.5"),
        ({"shares": [0.5, 0.5]}, "expected as many probabilities as candidates"),
    ],
)
def test_what_cannot_be_is_refused_by_row(
    tmp_path: Path, kind: str, change: dict[str, Any], problem: str
) -> None:
    source = reader(tmp_path, kind, [ROWS[0], ROWS[1] | change], EVERYTHING)
    place = {"csv": "log.csv, line 3: ", "parquet": "log.parquet, row 2: "}[kind]
    with pytest.raises(DatasetError) as caught:
        columns_of(source)
    assert f"{place}{problem}" in str(caught.value)


def test_names_are_taken_as_they_are(tmp_path: Path, kind: str) -> None:
    rows = [row | {"action": name} for row, name in zip(ROWS, ("NA", "null"), strict=True)]
    source = reader(tmp_path, kind, rows, PLAIN)
    columns_of(source)
    assert source.head.arms == ("NA", "null")


def test_other_types_of_parquet_are_read_alike(tmp_path: Path) -> None:
    """As pandas and polars write them: numbers for names, dictionaries, long strings, nanoseconds, no zone."""
    table = pa.table(
        {
            "action": pa.array(["x", "y"]).dictionary_encode(),
            "propensity": pa.array([1, 1], pa.int8()),
            "reward": pa.array([True, False]),
            "who": pa.array([17, 18]),
            "at": pa.array([1_500, 2_999], pa.timestamp("ns")),
            "among": pa.array([["x"], ["y", "x"]], pa.large_list(pa.large_string())),
        }
    )
    pq.write_table(table, tmp_path / "log.parquet")
    columns = PLAIN | {"user": "who", "time": "at", "candidates": "among"}
    found = columns_of(TableReader(tmp_path / "log.parquet", columns, csv=False))
    assert (found["action"], found["candidates"]) == ([0, 1], [[0], [1, 0]])
    assert (found["reward"], found["time_us"]) == ([1.0, 0.0], [1, 2])
    (tmp_path / "log.csv").write_text("action,propensity,reward,who\nx,1,1,17\ny,1,0,18\n")
    same = columns_of(TableReader(tmp_path / "log.csv", PLAIN | {"user": "who"}, csv=True))
    assert same["user"] == found["user"]


def test_milliseconds_are_not_taken_for_seconds(tmp_path: Path, kind: str) -> None:
    rows = [row | {"at": 1_785_585_600_000} for row in ROWS]
    with pytest.raises(DatasetError, match="expected unix seconds, found 1785585600000"):
        columns_of(reader(tmp_path, kind, rows, PLAIN | {"time": "at"}))


@pytest.mark.parametrize("at", ["yesterday", "2026-08-01T12:00:00"])
def test_a_time_without_zone_or_sense_is_refused(tmp_path: Path, at: str) -> None:
    rows = [row | {"at": at} for row in ROWS]
    with pytest.raises(DatasetError, match=r"line 2 to .*line 3: expected times as 2026-08-01T12"):
        columns_of(reader(tmp_path, "csv", rows, PLAIN | {"time": "at"}))


@pytest.mark.parametrize(
    ("columns", "every_arm", "problem"),
    [
        (PLAIN | {"colour": "c"}, False, "colour is none of action, propensity"),
        (PLAIN | {"probabilities": "p"}, False, "map candidates too"),
        (PLAIN | {"candidates": "c"}, True, "contradicts a column of candidates"),
    ],
)
def test_a_map_that_cannot_be_is_refused(
    tmp_path: Path, columns: dict[str, str], every_arm: bool, problem: str
) -> None:
    with pytest.raises(InvalidInput, match=problem):
        TableReader(tmp_path / "none", columns, csv=True, every_arm=every_arm)


def test_a_column_that_is_not_there_is_named(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DatasetError, match=f"log.{kind}: .*nobody"):
        columns_of(reader(tmp_path, kind, ROWS, PLAIN | {"user": "nobody"}))


def test_empty_cells_are_refused(tmp_path: Path, kind: str) -> None:
    rows = [ROWS[0], ROWS[1] | {"who": "" if kind == "csv" else None}]
    with pytest.raises(DatasetError, match=r"log\.\w+, (line 3|row 2): who is empty"):
        columns_of(reader(tmp_path, kind, rows, EVERYTHING))


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.parquet").write_text("not Parquet\n")
    with pytest.raises(DatasetError, match=r"log.parquet: .*[Pp]arquet"):
        columns_of(TableReader(tmp_path / "log.parquet", PLAIN, csv=False))
    with pytest.raises(DatasetError, match="nowhere cannot be read: No such file"):
        columns_of(TableReader(tmp_path / "nowhere", PLAIN, csv=True))
