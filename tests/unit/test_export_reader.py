"""Our own export as a bandit log."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pullarm.domain.errors import InvalidInput
from pullarm.domain.log_row import LogRow
from replay.errors import DatasetError
from replay.log_file import LogFormat, log_writer
from replay.readers.export import ExportReader
from tests.log_columns import columns_of
from tests.log_rows import START, page, slate


def export(folder: Path, rows: list[LogRow], form: LogFormat = LogFormat.PARQUET) -> Path:
    path = folder / f"front-page.{form}"
    with path.open("wb") as stream:
        kinds = sorted({kind for row in rows for kind in row.rewards})
        writer = log_writer(form, stream, kinds)
        writer.write(page(rows, kinds))
        writer.close()
    return path


@pytest.mark.parametrize("form", list(LogFormat))
def test_every_format_is_read_alike(tmp_path: Path, form: LogFormat) -> None:
    random = Random(1)
    rows = [*slate(random), *slate(random, slots=1, at=START + timedelta(minutes=1))]
    rows[2] = replace(rows[2], unit="other", acting="ucb", pub_no=9)
    reader = ExportReader(export(tmp_path, rows, form))
    found = columns_of(reader)
    head = reader.head
    named = [[head.arms[arm] for arm in row] for row in found["candidates"]]
    everybody = ["arm-3", "arm-1", "arm-4", "arm-2"]
    # The first slot's arm is not left for the second, and the candidate that is no arm is none here.
    assert named == [everybody, ["arm-3", "arm-4", "arm-2"], everybody]
    assert [head.arms[action] for action in found["action"]] == ["arm-1", "arm-2", "arm-1"]
    assert found["propensity"] == [row.propensity for row in rows]
    assert found["reward"] == [0.5, 0.0, 0.5]
    assert (found["slot"], found["version"]) == ([1, 2, 1], [3, 3, 9])
    assert found["user"][0] == found["user"][1] != found["user"][2]
    assert [head.policies[policy] for policy in found["policy"]] == ["thompson", "thompson", "ucb"]
    start_us = round(START.timestamp()) * 1_000_000
    assert found["time_us"] == [start_us, start_us, start_us + 60_000_000]
    assert (head.name, head.rows) == ("front-page", 3)
    assert (head.offered, head.users_known) == ("listed", True)


def test_what_an_estimate_cannot_use_is_left_out_and_counted(tmp_path: Path) -> None:
    sound, *spoilt = (slate(Random(seed), slots=1)[0] for seed in range(5))
    changes: tuple[dict[str, Any], ...] = (
        {"voided": True},
        {"excluded": True},
        {"acting": "none"},
        {"arm_id": None, "arm_no": 0},
    )
    rows = [replace(row, **change) for row, change in zip(spoilt, changes, strict=True)]
    reader = ExportReader(export(tmp_path, [sound, *rows]))
    assert columns_of(reader)["slot"] == [1]
    counts = {"rows": 5, "rewarded": 1, "no_policy": 1, "no_arm": 1, "voided": 1, "excluded": 1}
    assert reader.head.counts == counts | {"out_of_order": 0}


def test_hashed_candidates_are_not_known_candidates(tmp_path: Path) -> None:
    first, second = slate(Random(1), slots=1)[0], slate(Random(2), slots=1)[0]
    hashed = replace(second, candidates=None, candidate_nos=None)
    reader = ExportReader(export(tmp_path, [first, hashed]))
    assert columns_of(reader)["candidates"][1] == []
    assert reader.head.offered == "unknown"


def test_one_of_several_kinds_of_reward_has_to_be_named(tmp_path: Path) -> None:
    row = slate(Random(1), slots=1)[0]
    came = row.rewards["click"]
    path = export(tmp_path, [replace(row, rewards={"click": came, "buy": replace(came, credit=1)})])
    with pytest.raises(InvalidInput, match=r"--kind: is needed: .* of the kinds buy, click"):
        columns_of(ExportReader(path))
    assert columns_of(ExportReader(path, "buy"))["reward"] == [1.0]
    assert columns_of(ExportReader(path, "click"))["reward"] == [0.5]
    with pytest.raises(
        InvalidInput, match=r"--kind: .* has no reward of 'clik', but of buy, click"
    ):
        columns_of(ExportReader(path, "clik"))


def test_a_row_that_cannot_be_is_named(tmp_path: Path) -> None:
    rows = [slate(Random(seed), slots=1)[0] for seed in (1, 2)]
    rows[1] = replace(rows[1], propensity=0.0)
    with pytest.raises(DatasetError, match=r"front-page.csv, row 2: propensity must be above 0"):
        columns_of(ExportReader(export(tmp_path, rows, LogFormat.CSV)))


def test_a_file_that_is_no_export_is_named(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"decision_uid": 1}\n')
    with pytest.raises(InvalidInput, match=r"log.jsonl: cannot be read at row 1"):
        columns_of(ExportReader(tmp_path / "log.jsonl"))
