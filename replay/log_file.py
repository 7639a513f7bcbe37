"""Exported decision logs as files: Parquet, CSV and JSON lines, with the same flat columns in each.

The columns are the fields of `LogRow`; then, for each kind of reward, `reward_KIND_` with the fields of `KindCredit`.
In CSV, lists and attributes are JSON, and what is not there is empty.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import msgspec

from pullarm.domain.errors import invalid
from pullarm.domain.log_row import OF_KIND, OPTIONAL, OWN, LogRow, of_kind

if TYPE_CHECKING:
    import pyarrow as pa

_JSON = ("candidates", "candidate_nos", "attributes")
_GROUP_BYTES = 16 << 20
_BATCH_ROWS = 1_000
Flat = dict[str, Any]


class LogFormat(StrEnum):
    """How a log is written; also how its file's name ends."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"


class LogWriter(Protocol):
    """Writes the rows of a log to a stream, a page at a time."""

    def write(self, page: "pa.Table") -> None:
        """Append rows; `pullarm.storage.log_columns` has their columns, which may be dictionaries of their values."""

    def close(self) -> None:
        """Write what is left; the stream stays open."""


def log_writer(log_format: LogFormat, stream: BinaryIO, kinds: Sequence[str]) -> LogWriter:
    """A writer of logs with columns for these kinds of reward; rewards of other kinds are left out."""
    writers: Mapping[LogFormat, Callable[[BinaryIO, Sequence[str]], LogWriter]] = {
        LogFormat.PARQUET: _parquet_writer,
        LogFormat.CSV: _CsvWriter,
        LogFormat.JSONL: lambda stream, _: _JsonWriter(stream),
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
    except (OSError, ValueError, csv.Error) as error:  # msgspec's are ValueErrors
        raise invalid(str(path), f"cannot be read at row {read + 1}: {error}") from error


def log_rows(page: "pa.Table | pa.RecordBatch") -> Iterator[LogRow]:
    """The rows of a page, one by one."""
    return (_row(flat, strict=True) for flat in _flats(page))


def _flats(page: "pa.Table | pa.RecordBatch") -> Iterator[Flat]:
    for flat in page.to_pylist():
        flat["attributes"] = dict(flat["attributes"])
        yield flat


def _row(flat: Flat, *, strict: bool) -> LogRow:
    own = {name: flat[name] for name in OWN if name in flat}
    kinds = [
        column.removeprefix("reward_").removesuffix("_credit")
        for column, value in flat.items()
        if column.startswith("reward_") and column.endswith("_credit") and value is not None
    ]
    rewards = {kind: {n: flat.get(of_kind(kind, n)) for n in OF_KIND} for kind in kinds}
    return msgspec.convert({**own, "rewards": rewards}, LogRow, strict=strict)


class _JsonWriter:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, page: "pa.Table") -> None:
        from replay.log_text import json_lines

        for piece in json_lines(page):
            self._stream.write(piece)

    def close(self) -> None:
        self._stream.flush()


def _jsonl(path: Path) -> Iterator[Flat]:
    decoder = msgspec.json.Decoder(Flat)
    with path.open("rb") as file:
        for line in file:
            yield decoder.decode(line)


class _CsvWriter:
    def __init__(self, stream: BinaryIO, kinds: Sequence[str]) -> None:
        from pullarm.storage.log_columns import schema
        from replay.log_text import csv_head

        self._stream = stream
        self._stream.write(csv_head(schema(kinds)))

    def write(self, page: "pa.Table") -> None:
        from replay.log_text import csv_lines

        for piece in csv_lines(page):
            self._stream.write(piece)

    def close(self) -> None:
        self._stream.flush()


def _csv(path: Path) -> Iterator[Flat]:
    csv.field_size_limit(1 << 24)  # the standard 128 kB are less than ten thousand candidates take
    with path.open(newline="", encoding="utf-8-sig") as file:
        for cells in csv.DictReader(file, restkey="", strict=True):
            if "" in cells:
                raise ValueError("the next row has more cells than there are columns")
            flat: Flat = dict(cells)
            for name, text in flat.items():
                if text == "" and (name in OPTIONAL or name.startswith("reward_")):
                    flat[name] = None
                elif name in _JSON and text:
                    flat[name] = msgspec.json.decode(text)
            yield flat


def _parquet_writer(stream: BinaryIO, kinds: Sequence[str]) -> LogWriter:
    from pullarm.storage.log_columns import schema

    return ParquetLog(stream, schema(kinds))


class ParquetLog:
    """Row groups of some 16 MB: the file's footer, which is kept until the end, has an entry for each."""

    def __init__(self, stream: BinaryIO, schema: "pa.Schema") -> None:
        from pyarrow.parquet import ParquetWriter

        self._schema = schema
        self._writer = ParquetWriter(stream, schema, compression="zstd", write_page_checksum=True)
        self._pages: list[pa.Table] = []

    def write(self, page: "pa.Table") -> None:
        """Append rows; columns may be dictionaries of their values."""
        from pullarm.storage.log_columns import plain

        self._pages.append(plain(page, self._schema))
        if sum(each.nbytes for each in self._pages) >= _GROUP_BYTES:
            self._put()

    def close(self) -> None:
        """Write what is left and the footer; the stream stays open."""
        self._put()
        self._writer.close()

    def _put(self) -> None:
        import pyarrow as pa

        if self._pages:
            self._writer.write_table(pa.concat_tables(self._pages))
            self._pages = []


def _parquet(path: Path) -> Iterator[Flat]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                yield from _flats(batch)
    except (
        pa.ArrowException,
        TypeError,
        LookupError,
        ArithmeticError,
    ) as error:  # a damaged file's
        raise ValueError(str(error)) from error
