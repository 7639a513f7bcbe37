"""Parquet files of loaded data sets: whole or not there, with page checksums and one JSON object of metadata."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from replay.errors import DatasetError
from replay.sources import SourceFile, unreadable

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

_KEY = b"pullarm"
_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the metadata says of a loaded data set."""

    kind: str
    name: str
    counts: Mapping[str, int]
    sources: tuple[SourceFile, ...]
    format: int = _FORMAT
    details: Mapping[str, Any] = field(default_factory=dict)
    """What only this kind has."""


def encoded(head: Head) -> dict[bytes, bytes]:
    """The head as a file's metadata."""
    return {_KEY: msgspec.json.encode(head)}


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Another path to write to, which becomes `path` once it is whole; its folder is made if need be."""
    partial = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise DatasetError(f"{path} cannot be written: {error.strerror or error}") from error


def write_table(path: Path, table: "pa.Table", head: Head | None) -> None:
    """Write a whole table; raises DatasetError where that fails."""
    from pyarrow.parquet import write_table as write

    if head is not None:
        table = table.replace_schema_metadata(encoded(head))
    with appearing(path) as partial:
        write(table, partial, compression="zstd", write_page_checksum=True)


@contextmanager
def opened(
    path: Path, kind: str | None, columns: Sequence[str]
) -> Iterator[tuple[Head, "ParquetFile"]]:
    """The file and what its metadata says; what goes wrong while it is read becomes a DatasetError that names it.

    `kind` is None for a file that has no metadata of ours.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    if not path.exists():
        raise DatasetError(f"{path} is missing: `pullarm replay load` writes it")
    try:
        with ParquetFile(path, page_checksum_verification=True) as file:
            head = Head(kind="", name="", counts={}, sources=())
            if kind is not None:
                head = _head(path, file, kind)
            names = file.schema_arrow.names
            if lacking := [name for name in columns if name not in names]:
                raise DatasetError(
                    f"{path} has no column {', '.join(lacking)}; it has {', '.join(names)}"
                )
            yield head, file
    except (ValueError, OSError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise unreadable(path, error) from error
        raise DatasetError(
            f"{path} is no whole Parquet file: {error}; load the data set again"
        ) from error


def read_table(path: Path, kind: str | None, columns: Sequence[str]) -> tuple[Head, "pa.Table"]:
    """A whole file with at least these columns, and what its metadata says; raises DatasetError."""
    with opened(path, kind, columns) as (head, file):
        return head, file.read()


def _head(path: Path, file: "ParquetFile", kind: str) -> Head:
    said = (file.schema_arrow.metadata or {}).get(_KEY) or (file.metadata.metadata or {}).get(_KEY)
    if said is None:
        raise DatasetError(
            f"{path} was not written by `pullarm replay load`: it has no metadata of it"
        )
    head = msgspec.json.decode(said, type=Head)
    if (head.kind, head.format) != (kind, _FORMAT):
        raise DatasetError(
            f"{path} holds {head.kind}, format {head.format}; expected {kind}, format {_FORMAT}: "
            "load the data set again"
        )
    return head
