"""A log reads back as it was written, in every format; and what cannot be read is told."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import msgspec
import pytest

from pullarm.domain.errors import InvalidInput
from pullarm.domain.log_row import OF_KIND, OWN, LogRow, of_kind
from replay.log_file import LogFormat, log_writer, read_log
from tests.log_rows import START, page, slate


def written(path: Path, *pages: Sequence[LogRow], kinds: Sequence[str] = ("click", "b")) -> Path:
    with path.open("wb") as stream:
        writer = log_writer(LogFormat(path.suffix[1:]), stream, kinds)
        for rows in pages:
            writer.write(page(rows, kinds))
        writer.close()
    return path


@pytest.mark.parametrize("log_format", LogFormat)
def test_log_comes_back_as_it_was_written(tmp_path: Path, log_format: LogFormat) -> None:
    """Text that looks like nothing or like a number, absent values and rewards, over several pages."""
    random = Random(4)
    rows = [row for _ in range(30) for row in slate(random)]
    hashed = replace(rows[4], candidates=None, candidate_nos=None, floor=None, window_hours=None)
    unlisted = replace(rows[5], arm_no=0, arm_id=None, unit="12", request_id="null", attributes={})
    empty = replace(rows[6], candidates=(), candidate_nos=(), voided=True)
    (kind, came), *_ = rows[0].rewards.items()
    taken_back = replace(came, credit=0.0, count=0, first_at=None, last_at=None, received_at=None)
    retracted = replace(rows[7], rewards={kind: taken_back, "b": came})
    rows[4:8] = [hashed, unlisted, empty, retracted]
    path = written(tmp_path / f"log.{log_format}", rows[:20], rows[20:21], rows[21:])
    assert list(read_log(path)) == rows


def test_text_is_what_plain_writers_make_of_each_row(tmp_path: Path) -> None:
    """Cells that need quotes or escapes, numbers at the ends of their range, times with and without milliseconds."""
    random = Random(7)
    rows = [
        row for n in range(9) for row in slate(random, at=START + timedelta(milliseconds=n % 3))
    ]
    rows[1] = replace(rows[1], unit='a\rb\x01\x7f\\é"', arm_id="", propensity=1e-5, floor=1e22)
    rows[2] = replace(rows[2], candidates=("a",), candidate_nos=(1,), attributes={}, rewards={})
    rows[3] = replace(rows[3], candidates=None, candidate_nos=None, arm_id=None, floor=None)
    rows[5] = replace(
        rows[5], candidates=(None, None), candidate_nos=(0, 0), unit="x\ny", floor=1.0
    )
    flat = []
    for row in rows:
        credits = {of_kind("click", n): getattr(row.rewards.get("click"), n, None) for n in OF_KIND}
        flat.append({name: getattr(row, name) for name in OWN} | credits)
    lines = b"".join(msgspec.json.encode(each) + b"\n" for each in flat)
    assert written(tmp_path / "log.jsonl", rows, kinds=["click"]).read_bytes() == lines
    text = io.StringIO(newline="")
    cells = ([plain(value) for value in each.values()] for each in flat)
    csv.writer(text).writerows([list(flat[0]), *cells])
    assert (
        written(tmp_path / "log.csv", rows, kinds=["click"]).read_bytes()
        == text.getvalue().encode()
    )


def plain(value: object) -> str:
    """JSON without the quotes of text and times; nothing for None."""
    if value is None or isinstance(value, str):
        return value or ""
    text = msgspec.json.encode(value).decode()
    return text.strip('"') if text.startswith('"') else text


@pytest.mark.parametrize("log_format", LogFormat)
def test_empty_log_is_readable(tmp_path: Path, log_format: LogFormat) -> None:
    assert list(read_log(written(tmp_path / f"log.{log_format}"))) == []


@pytest.mark.parametrize("log_format", LogFormat)
def test_kind_without_columns_is_left_out(tmp_path: Path, log_format: LogFormat) -> None:
    rows = slate(Random(5))
    path = written(tmp_path / f"log.{log_format}", rows, kinds=("other",))
    assert list(read_log(path)) == [replace(row, rewards={}) for row in rows]


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        ("log.csv", lambda text: text[:-60], "cannot be read at row 2: "),
        ("log.csv", lambda text: text + b"1,2\r\n", "cannot be read at row 3: "),
        ("log.csv", lambda text: text[:-2] + b",x\r\n", "more cells than there are"),
        ("log.jsonl", lambda text: text.replace(b'"slot":2', b'"slot":"two"'), r"`\$.slot`"),
        ("log.jsonl", lambda text: text.replace(b'"weight":', b'"heavy":'), "field `weight`"),
        ("log.parquet", lambda text: text[:-9], "cannot be read at row 1: "),
    ],
)
def test_damaged_log_is_told(
    tmp_path: Path, name: str, spoil: Callable[[bytes], bytes], said: str
) -> None:
    path = written(tmp_path / name, slate(Random(6)), kinds=())
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InvalidInput, match=said):
        list(read_log(path))


def test_file_that_is_no_log_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"must end in \.parquet, \.csv, \.jsonl"):
        list(read_log(tmp_path / "log.txt"))
    with pytest.raises(InvalidInput, match=r"cannot be read at row 1: .*No such file"):
        list(read_log(tmp_path / "log.csv"))
