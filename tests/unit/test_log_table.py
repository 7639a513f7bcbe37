"""Bandit logs as Parquet: what is read is what was written, and damage is noticed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from replay.errors import DatasetError
from replay.log import BanditLog, Candidates, LogBatch, LogHead, batch, in_memory
from replay.log_table import BATCH_ROWS, open_log, write_log
from replay.sources import SourceFile
from tests.log_columns import columns_of

ARMS = ("a", "b", "ü")


def head(rows: int, **other: Any) -> LogHead:
    plain = LogHead(
        name="made up",
        arms=ARMS,
        policies=("thompson", "ucb"),
        rows=rows,
        offered="every",
        users_known=True,
        sources=(SourceFile(name="file", bytes=3, sha256="ab"),),
        counts={"rows": rows + 2, "voided": 2},
    )
    return replace(plain, **other)


def plain(rows: int, seed: int = 1, first_row: int = 0) -> LogBatch:
    rng = np.random.default_rng(seed)
    return batch(
        action=rng.integers(3, size=rows),
        propensity=rng.uniform(0.1, 1, size=rows),
        reward=rng.random(rows),
        first_row=first_row,
    )


def listed(sizes: list[int], seed: int = 1) -> LogBatch:
    """Rows that list their candidates with probabilities, in the order of the arms, and choose the last."""
    shares = np.concatenate([np.full(size, 1 / size) for size in sizes if size])
    return batch(
        action=[max(size - 1, 0) for size in sizes],
        propensity=[1 / max(size, 1) for size in sizes],
        reward=np.zeros(len(sizes)),
        time_us=np.arange(len(sizes)) * 1_000,
        target=np.full(len(sizes), 0.5),
        candidates=Candidates(
            start=np.cumsum([0, *sizes]),
            arm=np.concatenate([np.arange(size, dtype=np.int32) for size in sizes]),
            probability=shares,
        ),
    )


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    log = in_memory(head(12), [plain(7), plain(5, seed=2, first_row=7)])
    assert write_log(tmp_path / "new", log) == log.head
    again = open_log(tmp_path / "new")
    assert again.head == log.head
    assert columns_of(again) == columns_of(log)
    assert columns_of(again) == columns_of(log), "a log can be gone through again"
    assert columns_of(open_log(tmp_path / "new" / "log.parquet")) == columns_of(log)
    assert columns_of(again)["user"] == list(range(12))


def test_candidates_and_what_else_is_known_come_back(tmp_path: Path) -> None:
    log = in_memory(head(5, offered="listed"), [listed([3, 1, 2]), listed([2, 3])])
    write_log(tmp_path, log)
    found = columns_of(open_log(tmp_path))
    assert found == columns_of(log)
    assert found["candidates"] == [[0, 1, 2], [0], [0, 1], [0, 1], [0, 1, 2]]
    assert found["target"] == [0.5] * 5


def test_candidates_that_not_every_row_has_are_not_shown(tmp_path: Path) -> None:
    write_log(tmp_path, in_memory(head(3, offered="unknown"), [listed([3, 0, 2])]))
    assert "candidates" not in columns_of(open_log(tmp_path))


def test_a_long_log_comes_in_batches_that_keep_their_candidates(tmp_path: Path) -> None:
    sizes = ([1, 2, 3] * (BATCH_ROWS // 2))[: BATCH_ROWS + 10]
    log = in_memory(head(len(sizes), offered="listed"), [listed(sizes)])
    write_log(tmp_path, log)
    read = list(open_log(tmp_path).batches())
    assert [len(each) for each in read] == [BATCH_ROWS, 10]
    second = read[1].candidates
    assert second is not None
    assert second.start[0] == 0
    assert second.size.tolist() == sizes[BATCH_ROWS:]


def test_damage_is_noticed(tmp_path: Path) -> None:
    write_log(tmp_path, in_memory(head(4_000), [plain(4_000)]))
    raw = bytearray((tmp_path / "log.parquet").read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / "log.parquet").write_bytes(raw)
    with pytest.raises(DatasetError, match=r"log.parquet is no whole Parquet file: .*CRC"):
        columns_of(open_log(tmp_path))


def test_a_cut_off_file_is_refused(tmp_path: Path) -> None:
    write_log(tmp_path, in_memory(head(50), [plain(50)]))
    path = tmp_path / "log.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match=r"log.parquet is no whole Parquet file"):
        open_log(tmp_path)


def test_a_log_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="made up has no row that an estimate could use"):
        write_log(tmp_path, in_memory(head(0), []))
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def failing() -> Iterator[LogBatch]:
        yield plain(3)
        raise DatasetError("file, line 4: is wrong")

    with pytest.raises(DatasetError, match="line 4"):
        write_log(tmp_path, BanditLog(head(3), [failing]))
    assert list(tmp_path.iterdir()) == []


def test_a_head_that_miscounts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 rows were written where the head says 4"):
        write_log(tmp_path, in_memory(head(4), [plain(3)]))


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="of one length"):
        batch(action=[1, 2], propensity=[0.5], reward=[0, 1])
    candidates = Candidates(start=np.array([0, 1]), arm=np.zeros(1, dtype=np.int32))
    with pytest.raises(ValueError, match="candidates of 1 rows beside 2 rows"):
        batch(action=[1, 2], propensity=[0.5, 0.5], reward=[0, 1], candidates=candidates)
