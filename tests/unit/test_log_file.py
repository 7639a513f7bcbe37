"""A log reads back as it was written, in every format; and what cannot be read is told."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import msgspec
import pyarrow as pa
import pytest

from pullarm.domain.errors import InvalidInput
from pullarm.domain.log_row import OF_KIND, OWN, LogRow, of_kind
from pullarm.storage.log_columns import plain_bytes
from replay import log_text
from replay.log_file import LogFormat, log_writer, read_log
from tests.log_rows import START, dictionaries, page, slate

Form = Callable[[pa.Table], pa.Table]
FORMS = (lambda table: table, dictionaries)
"""Columns of values, and as the ledger is read: of few values that come again and again."""


def written(
    path: Path,
    *pages: Sequence[LogRow],
    kinds: Sequence[str] = ("click", "b"),
    form: Form = dictionaries,
) -> Path:
    with path.open("wb") as stream:
        writer = log_writer(LogFormat(path.suffix[1:]), stream, kinds)
        for rows in pages:
            writer.write(form(page(rows, kinds)))
        writer.close()
    return path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("log_format", LogFormat)
def test_log_comes_back_as_it_was_written(
    tmp_path: Path, log_format: LogFormat, form: Form
) -> None:
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
    path = written(tmp_path / f"log.{log_format}", rows[:20], rows[20:21], rows[21:], form=form)
    assert list(read_log(path)) == rows


@pytest.mark.parametrize("form", FORMS)
def test_text_is_what_plain_writers_make_of_each_row(tmp_path: Path, form: Form) -> None:
    """Cells that need quotes or escapes, numbers at the ends of their range, times with and without milliseconds."""
    random = Random(7)
    rows = [
        row for n in range(9) for row in slate(random, at=START + timedelta(milliseconds=n % 3))
    ]
    rows[1] = replace(rows[1], unit='a\rb\x01\x7f\\é"', arm_id="", propensity=1e-5, floor=1e22)
    rows[2] = replace(rows[2], candidates=("a",), candidate_nos=(1,), attributes={}, rewards={})
    rows[3] = replace(rows[3], candidates=None, candidate_nos=None, arm_id=None, floor=None)
    rows[4] = replace(rows[4], candidates=(None,), candidate_nos=())
    rows[6] = replace(rows[6], candidates=('a "b", \\c\n', "é"), candidate_nos=(0, 10**9))
    rows[5] = replace(
        rows[5], candidates=(None, None), candidate_nos=(0, 0), unit="x\ny", floor=1.0
    )
    flat = []
    for row in rows:
        credits = {of_kind("click", n): getattr(row.rewards.get("click"), n, None) for n in OF_KIND}
        flat.append({name: getattr(row, name) for name in OWN} | credits)
    lines = b"".join(msgspec.json.encode(each) + b"\n" for each in flat)
    assert written(tmp_path / "log.jsonl", rows, kinds=["click"], form=form).read_bytes() == lines
    text = io.StringIO(newline="")
    cells = ([plain(value) for value in each.values()] for each in flat)
    csv.writer(text).writerows([list(flat[0]), *cells])
    assert (
        written(tmp_path / "log.csv", rows, kinds=["click"], form=form).read_bytes()
        == text.getvalue().encode()
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("log_format", [LogFormat.CSV, LogFormat.JSONL])
def test_text_of_a_long_page_is_that_of_short_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_format: LogFormat, form: Form
) -> None:
    """It is written in pieces, which need not end where the page does."""
    random = Random(5)
    rows = [row for _ in range(9) for row in slate(random)]
    rows[7] = replace(rows[7], candidates=None, candidate_nos=None, rewards={})
    whole = written(tmp_path / f"whole.{log_format}", rows, form=form).read_bytes()
    monkeypatch.setattr(log_text, "_PIECE_ROWS", 4)
    assert written(tmp_path / f"pieces.{log_format}", rows, form=form).read_bytes() == whole


def test_bytes_of_dictionaries_are_those_of_the_values_they_stand_for() -> None:
    """Also where a name that is used again and again is the only long one."""
    rows = slate(Random(3), slots=9)
    long = [replace(row, candidates=("a" * 99,) * 9 + ("b",), arm_id="c" * 50) for row in rows]
    for each in rows, long:
        values = page(each, ["click"])
        assert plain_bytes(dictionaries(values)) == pytest.approx(plain_bytes(values), rel=0.1)


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
