"""Exported decision logs as files: Parquet, CSV and JSON lines, with the same flat columns in each.

The columns are the fields of `LogRow`; then, for each kind of reward, `reward_KIND_` with the fields of `KindCredit`.
In CSV, lists and attributes are JSON, and what is not there is empty.
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import msgspec

from pullarm.domain.errors import invalid
from pullarm.domain.log_row import KindCredit, LogRow

if TYPE_CHECKING:
    import pyarrow as pa

_OWN = tuple(each.name for each in fields(LogRow) if each.name != "rewards")
_KIND = tuple(each.name for each in fields(KindCredit))
_JSON = ("candidates", "candidate_nos", "attributes")
_OPTIONAL = ("arm_id", "floor", "candidates", "candidate_nos", "window_hours")
_GROUP_BYTES = 32 << 20
_BATCH_ROWS = 1_000
Flat = dict[str, Any]


class LogFormat(StrEnum):
    """How a log is written; also how its file's name ends."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"


class LogWriter(Protocol):
    """Writes the rows of a log to a stream, a page at a time."""

    def write(self, rows: Sequence[LogRow]) -> None:
        """Append rows."""

    def close(self) -> None:
        """Write what is left; the stream stays open."""


def log_writer(log_format: LogFormat, stream: BinaryIO, kinds: Sequence[str]) -> LogWriter:
    """A writer of logs with columns for these kinds of reward; rewards of other kinds are left out."""
    writers: Mapping[LogFormat, Callable[[BinaryIO, Sequence[str]], LogWriter]] = {
        LogFormat.PARQUET: _ParquetWriter,
        LogFormat.CSV: _CsvWriter,
        LogFormat.JSONL: _JsonWriter,
    }
    return writers[log_format](stream, kinds)


def read_log(path: Path) -> Iterator[LogRow]:
    """The rows of a log by the format that its name ends with; raises InvalidInput naming the file and the row."""
    readers = {f".{LogFormat.PARQUET}": _parquet, f".{LogFormat.CSV}": _csv, ".jsonl": _jsonl}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise invalid(str(path), f"is no log; its name must end in {', '.join(readers)}")
    read = 0
    try:
        for flat in reader(path):
            yield _row(flat, strict=path.suffix.lower() != ".csv")
            read += 1
    except (OSError, ValueError, csv.Error) as error:  # msgspec's and pyarrow's are ValueErrors
        raise invalid(str(path), f"cannot be read at row {read + 1}: {error}") from error


def _columns(kinds: Sequence[str]) -> list[str]:
    return [*_OWN, *(f"reward_{kind}_{name}" for kind in kinds for name in _KIND)]


def _flat(row: LogRow, kinds: Sequence[str]) -> Flat:
    flat = {name: getattr(row, name) for name in _OWN}
    for kind in kinds:
        credit = row.rewards.get(kind)
        for name in _KIND:
            flat[f"reward_{kind}_{name}"] = getattr(credit, name, None)
    return flat


def _row(flat: Flat, *, strict: bool) -> LogRow:
    own = {name: flat[name] for name in _OWN if name in flat}
    kinds = [
        column.removeprefix("reward_").removesuffix("_credit")
        for column, value in flat.items()
        if column.startswith("reward_") and column.endswith("_credit") and value is not None
    ]
    rewards = {kind: {n: flat.get(f"reward_{kind}_{n}") for n in _KIND} for kind in kinds}
    return msgspec.convert({**own, "rewards": rewards}, LogRow, strict=strict)


class _JsonWriter:
    def __init__(self, stream: BinaryIO, kinds: Sequence[str]) -> None:
        self._stream = stream
        self._kinds = kinds

    def write(self, rows: Sequence[LogRow]) -> None:
        flat = (_flat(row, self._kinds) for row in rows)
        self._stream.write(b"".join(msgspec.json.encode(each) + b"\n" for each in flat))

    def close(self) -> None:
        self._stream.flush()


def _jsonl(path: Path) -> Iterator[Flat]:
    decoder = msgspec.json.Decoder(Flat)
    with path.open("rb") as file:
        for line in file:
            yield decoder.decode(line)


class _CsvWriter:
    def __init__(self, stream: BinaryIO, kinds: Sequence[str]) -> None:
        self._stream = stream
        self._kinds = kinds
        self._put([_columns(kinds)])

    def write(self, rows: Sequence[LogRow]) -> None:
        flat = (_flat(row, self._kinds) for row in rows)
        self._put([[_cell(value) for value in each.values()] for each in flat])

    def close(self) -> None:
        self._stream.flush()

    def _put(self, lines: Sequence[Sequence[str]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(lines)
        self._stream.write(text.getvalue().encode())


def _cell(value: object) -> str:
    """JSON, but text and times without its quotes and nothing as nothing."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    text = msgspec.json.encode(value).decode()
    return text.strip('"') if text.startswith('"') else text


def _csv(path: Path) -> Iterator[Flat]:
    csv.field_size_limit(1 << 24)  # the standard 128 kB are less than ten thousand candidates take
    with path.open(newline="", encoding="utf-8-sig") as file:
        for cells in csv.DictReader(file, restkey="", strict=True):
            if "" in cells:
                raise ValueError("the next row has more cells than there are columns")
            flat: Flat = dict(cells)
            for name, text in flat.items():
                if text == "" and (name in _OPTIONAL or name.startswith("reward_")):
                    flat[name] = None
                elif name in _JSON and text:
                    flat[name] = msgspec.json.decode(text)
            yield flat


class _ParquetWriter:
    """Row groups of some 32 MB: the file's footer, which is kept until the end, has an entry for each."""

    def __init__(self, stream: BinaryIO, kinds: Sequence[str]) -> None:
        from pyarrow.parquet import ParquetWriter

        self._kinds = kinds
        self._schema = _schema(kinds)
        self._writer = ParquetWriter(stream, self._schema, compression="zstd")
        self._tables: list[pa.Table] = []

    def write(self, rows: Sequence[LogRow]) -> None:
        import pyarrow as pa

        flat = [_flat(row, self._kinds) for row in rows]
        for each in flat:
            each["attributes"] = list(each["attributes"].items())
        self._tables.append(pa.Table.from_pylist(flat, schema=self._schema))
        if sum(table.nbytes for table in self._tables) >= _GROUP_BYTES:
            self._put()

    def close(self) -> None:
        self._put()
        self._writer.close()

    def _put(self) -> None:
        import pyarrow as pa

        if self._tables:
            self._writer.write_table(pa.concat_tables(self._tables))
            self._tables = []


def _schema(kinds: Sequence[str]) -> "pa.Schema":
    import pyarrow as pa

    moment = pa.timestamp("ms", tz="UTC")
    types: Mapping[str, pa.DataType] = {
        "decided_at": moment,
        **dict.fromkeys(("allocation_epoch", "config_no", "kernel", "slot", "arm_no"), pa.int32()),
        **dict.fromkeys(("pub_no", "bucket", "weight", "total"), pa.int64()),
        **dict.fromkeys(("propensity", "floor", "window_hours"), pa.float64()),
        "candidates": pa.list_(pa.string()),
        "candidate_nos": pa.list_(pa.int32()),
        "attributes": pa.map_(pa.string(), pa.string()),
        **dict.fromkeys(("voided", "excluded"), pa.bool_()),
    }
    kind_types: Mapping[str, pa.DataType] = {
        **dict.fromkeys(("credit", "booked"), pa.float64()),
        "count": pa.int64(),
        **dict.fromkeys(("first_at", "last_at", "received_at"), moment),
    }
    own = [pa.field(name, types.get(name, pa.string()), name in _OPTIONAL) for name in _OWN]
    return pa.schema(
        [*own, *(pa.field(f"reward_{k}_{name}", kind_types[name]) for k in kinds for name in _KIND)]
    )


def _parquet(path: Path) -> Iterator[Flat]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS):
            for flat in batch.to_pylist():
                flat["attributes"] = dict(flat["attributes"])
                yield flat
