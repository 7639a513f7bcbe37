"""Columns of CSV and Parquet files, a batch of rows at a time, in the types they are asked for."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from replay.errors import DatasetError
from replay.sources import unreadable

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK_BYTES = 4 << 20
_BATCH_ROWS = 1 << 16


class Rows(NamedTuple):
    """Consecutive rows of a file."""

    first: int
    """The first one's number, from 1, without the head of a CSV file."""
    columns: "pa.RecordBatch"
    """Without empty cells."""


def csv_rows(path: Path, types: "Mapping[str, pa.DataType]") -> Iterator[Rows]:
    """These columns of a CSV file with a head; raises DatasetError naming the file, and the line where there is one."""
    import pyarrow.csv as pc

    _whole(path)
    try:
        reader = pc.open_csv(
            path,
            # One thread knows the number of each line that it refuses.
            read_options=pc.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            parse_options=pc.ParseOptions(newlines_in_values=True),
            convert_options=pc.ConvertOptions(
                column_types=types,
                include_columns=list(types),
                null_values=[""],  # and not NA, which may well be an arm
                strings_can_be_null=True,
            ),
        )
        with reader:
            yield from _numbered(path, iter(reader), "line", 1)
    except (ValueError, KeyError) as error:  # pyarrow's are either
        raise DatasetError(f"{path}: {_said(error)}") from error


def parquet_rows(path: Path, types: "Mapping[str, pa.DataType | None]") -> Iterator[Rows]:
    """These columns of a Parquet file, cast where a type is given; raises DatasetError naming the file."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            names = file.schema_arrow.names
            if lacking := [name for name in types if name not in names]:
                raise ValueError(f"no column {', '.join(lacking)}; it has {', '.join(names)}")
            batches = (
                pa.RecordBatch.from_arrays(
                    [
                        batch[name] if kind is None else batch[name].cast(kind)
                        for name, kind in types.items()
                    ],
                    names=list(types),
                )
                for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=list(types))
            )
            yield from _numbered(path, batches, "row", 0)
    except (ValueError, pa.ArrowException) as error:  # pyarrow's are not always ValueErrors
        raise DatasetError(f"{path}: {error}") from error
    except OSError as error:
        raise unreadable(path, error) from error


def _numbered(
    path: Path, batches: "Iterator[pa.RecordBatch]", unit: str, heads: int
) -> Iterator[Rows]:
    import pyarrow.compute as pc

    first = 1
    for batch in batches:
        if not batch.num_rows:
            continue
        for name in batch.schema.names:
            if batch[name].null_count:
                empty = pc.index(batch[name].is_null(), True).as_py()
                number = first + empty + heads
                raise DatasetError(f"{path}, {unit} {number}: {name} is empty")
        yield Rows(first, batch)
        first += batch.num_rows


def _whole(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            if not stream.seek(0, 2):
                raise DatasetError(f"{path} is empty: expected a line of column names, then rows")
            stream.seek(-1, 2)
            if stream.read(1) != b"\n":
                raise DatasetError(
                    f"{path}: its last line has no end, so the file looks cut off: copy it again"
                )
    except OSError as error:
        raise unreadable(path, error) from error


def _said(error: Exception) -> str:
    """pyarrow counts lines as rows, the head among them."""
    text = str(error.args[0] if error.args else error).replace("Row #", "line ")
    return text.replace(
        "in include_columns does not exist in CSV file",
        "is not there: it is needed, under this name or one that is mapped to it",
    )
