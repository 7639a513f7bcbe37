"""Removed days as Parquet files, in a folder or wherever pyarrow's file systems reach (`s3://`, `gs://`, `hdfs://`).

A file is whole or not there: it is written under another name, synced, read back and renamed. What it holds is told by
two numbers (`pullarm.domain.archive.Sums`) that the rows in PostgreSQL have as well.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from functools import reduce
from hashlib import md5
from pathlib import Path
from secrets import token_hex
from typing import Self
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.fs import FileSelector, FileSystem, FileType, LocalFileSystem
from pyarrow.parquet import ParquetFile

from pullarm.domain.archive import (
    CHECKSUM_BITS,
    NOTHING,
    ArchivedFile,
    Kind,
    PendingErasure,
    Sums,
)
from pullarm.domain.assignment import MICRO
from pullarm.domain.decision import RewardStatus
from pullarm.domain.errors import ConfigurationError, Unavailable
from pullarm.domain.log_row import of_kind
from pullarm.environment import ARCHIVE
from pullarm.storage.log_columns import schema
from replay.erasing import named, without
from replay.log_file import ParquetLog

_BATCH_ROWS = 1 << 14
_PARTIAL = ".part"
_MOMENT = pa.timestamp("us", tz="UTC")


class Archive:
    """The files below one folder."""

    def __init__(self, files: FileSystem, root: str) -> None:
        self._files = files
        self._root = root.rstrip("/")

    @classmethod
    def at(cls, where: str) -> Self:
        """A folder's path, or a URL.

        Raises ConfigurationError where no file system of pyarrow's takes it, Unavailable where it is away.
        """
        if not urlsplit(where).scheme:
            return cls(LocalFileSystem(), str(Path(where).absolute()))
        try:
            return cls(*FileSystem.from_uri(where))
        except OSError as error:
            raise Unavailable(f"{ARCHIVE} is away: {error}") from error
        except (ValueError, NotImplementedError, ImportError) as error:
            raise ConfigurationError(
                f"{ARCHIVE}: pyarrow takes no such address ({error}); give a folder, or a URL such as "
                "s3://BUCKET/FOLDER with a pyarrow that is built with that file system: `pip install pyarrow`"
            ) from error

    def writing(self, file: ArchivedFile, schema: pa.Schema) -> "Fresh":
        """The file, to be written."""
        return Fresh(self._files, self._path(file), file, schema)

    def batches(self, file: ArchivedFile) -> Iterator[pa.RecordBatch]:
        """All rows; raises Unavailable where it is missing or damaged."""
        return _batches(self._files, self._path(file), file)

    def log(
        self,
        file: ArchivedFile,
        kinds: Sequence[str],
        since: datetime | None,
        until: datetime | None,
    ) -> Iterator[pa.Table]:
        """The decisions of a span as pages of a log with these kinds of reward, as an export has them of the ledger."""
        target = schema(kinds)
        for batch in self.batches(file):
            page = pa.Table.from_batches([batch])
            for compare, moment in ((pc.greater_equal, since), (pc.less, until)):
                if moment is not None:
                    page = page.filter(compare(page["decided_at"], pa.scalar(moment, _MOMENT)))
            for field in target:
                if field.name not in page.column_names:  # of a kind that was declared later
                    page = page.append_column(field, pa.nulls(len(page), field.type))
            yield page.select(target.names).cast(target)

    def sums(self, file: ArchivedFile) -> Sums:
        """What the file holds; raises Unavailable where it is missing or damaged."""
        try:
            return reduce(Sums.plus, _sums(file.kind, self.batches(file)), NOTHING)
        except KeyError as error:
            raise Unavailable(
                f"{file.name} of {ARCHIVE} is no file of {file.kind}: {error}"
            ) from error

    def size(self, file: ArchivedFile) -> int | None:
        """In bytes; None where there is no such file."""
        with _told(file):
            found = self._files.get_file_info(self._path(file))
        return found.size if found.type is FileType.File else None

    def check(self) -> None:
        """Raise Unavailable where nothing can be written."""
        path = f"{self._root}/.pullarm"
        with _told("a file"):
            self._files.create_dir(self._root, recursive=True)
            with self._files.open_output_stream(path) as stream:
                stream.write(b"")
            self._files.delete_file(path)

    def remove(self, file: ArchivedFile) -> None:
        """Delete it; it may be gone already."""
        if self.size(file) is not None:
            with _told(file):
                self._files.delete_file(self._path(file))

    def schema(self, file: ArchivedFile) -> pa.Schema:
        """Its columns; raises Unavailable where it is missing or damaged."""
        with _told(file), self._files.open_input_file(self._path(file)) as source:
            return ParquetFile(source).schema_arrow

    def names(self, file: ArchivedFile, erasures: Sequence[PendingErasure]) -> Iterator[bool]:
        """Batch by batch, whether one of the file's users is erased; raises as `batches`."""
        columns = ["unit"] if file.kind is Kind.DECISIONS else ["unit", "unit_hash"]
        for batch in _batches(self._files, self._path(file), file, columns):
            yield bool(named(batch, erasures))

    def without(self, file: ArchivedFile, erasures: Sequence[PendingErasure]) -> Iterator[pa.Table]:
        """All rows, in which something else stands for these users; raises as `batches`."""
        for batch in self.batches(file):
            rows = batch
            for erasure in named(batch, erasures):
                rows = without(rows, erasure)
            yield pa.Table.from_batches([rows])

    def _path(self, file: ArchivedFile) -> str:
        return f"{self._root}/{file.name}"


class Fresh:
    """A file that is being written, under a name that no other writer has.

    So that nobody puts in place what another has begun to write. What killed writers left is removed by the next.
    """

    def __init__(self, files: FileSystem, path: str, file: ArchivedFile, schema: pa.Schema) -> None:
        self._files, self._path, self._file, self._schema = files, path, file, schema
        self._partial = f"{path}.{token_hex(8)}{_PARTIAL}"
        self._closing = ExitStack()

    def open(self) -> None:
        """Begin; `close` it, whatever comes of it."""
        folder = self._path.rpartition("/")[0]
        with _told(self._file):
            self._files.create_dir(folder, recursive=True)
            for other in self._files.get_file_info(FileSelector(folder)):
                if other.path.startswith(f"{self._path}.") and other.path.endswith(_PARTIAL):
                    self._files.delete_file(other.path)
            self._closing.callback(self._discard)
            if isinstance(self._files, LocalFileSystem):  # users are in it
                os.close(os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))
            self._stream = self._files.open_output_stream(self._partial)
            self._closing.callback(self._stream.close)
            self._log = ParquetLog(self._stream, self._schema)
            self._closing.callback(self._end)

    def write(self, page: pa.Table) -> None:
        """Append rows; columns may be dictionaries of their values."""
        with _told(self._file):
            self._log.write(page)

    def finish(self) -> None:
        """That was all."""
        with _told(self._file):
            self._log.close()
            self._stream.close()
            self._sync(self._partial)

    def sums(self) -> Iterator[Sums]:
        """What was written, batch by batch, by what is read back."""
        return _sums(self._file.kind, _batches(self._files, self._partial, self._file))

    def put(self) -> None:
        """Let it be there, in place of what was."""
        with _told(self._file):
            self._files.move(self._partial, self._path)
            folder = self._path.rpartition("/")[0]
            for each in (folder, folder.rpartition("/")[0]):
                self._sync(each)

    def close(self) -> None:
        """Leave nothing behind that was not put in place."""
        with _told(self._file):
            self._closing.close()

    def _end(self) -> None:
        with suppress(OSError, ValueError):  # what is wrong is told by the error that led here
            self._log.close()

    def _discard(self) -> None:
        if self._files.get_file_info(self._partial).type is FileType.File:
            self._files.delete_file(self._partial)

    def _sync(self, path: str) -> None:
        """So that it outlives the machine, before rows are dropped for it. Object stores do so by themselves."""
        if isinstance(self._files, LocalFileSystem):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextmanager
def _told(what: ArchivedFile | str) -> Iterator[None]:
    """Name the file and the setting in what goes wrong."""
    try:
        yield
    except (
        OSError,
        pa.ArrowException,
    ) as error:  # pyarrow's own are no OSErrors where a page is damaged
        name = what if isinstance(what, str) else what.name
        raise Unavailable(f"{name} of {ARCHIVE} cannot be read or written: {error}") from error


def _batches(
    files: FileSystem, path: str, file: ArchivedFile, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    with _told(file), files.open_input_file(path) as source:
        parquet = ParquetFile(source, page_checksum_verification=True)
        yield from parquet.iter_batches(batch_size=_BATCH_ROWS, columns=columns)


def _sums(kind: Kind, batches: Iterable[pa.RecordBatch]) -> Iterator[Sums]:
    lines_of = {Kind.DECISIONS: _decision_lines, Kind.REWARDS: _reward_lines}[kind]
    for batch in batches:
        checksum = sum(_hashed(line) for lines in lines_of(batch) for line in lines)
        yield NOTHING.plus(Sums(len(batch), checksum))


def _hashed(line: str) -> int:
    """The hash of PostgreSQL that every build of it has; against damage and mistakes, not against forgers."""
    digits = md5(line.encode(), usedforsecurity=False).hexdigest()[: CHECKSUM_BITS // 4]
    return int(digits, 16)


def _decision_lines(batch: pa.RecordBatch) -> Iterator[list[str]]:
    names = ("decision_uid", "slot", "arm_no", "weight", "total")
    yield _joined(*(batch[name] for name in (*names, "allocation_epoch", "config_no", "pub_no")))
    for name in batch.schema.names:
        kind = name.removeprefix("reward_").removesuffix("_credit")
        if name == of_kind(kind, "credit"):
            came = batch.filter(batch[name].is_valid())
            booked = came[of_kind(kind, "booked")]
            slot = came["decision_uid"], came["slot"]
            yield _joined(*slot, pa.scalar(kind), _micro(came[name]), _micro(booked))


def _reward_lines(batch: pa.RecordBatch) -> Iterator[list[str]]:
    status = pa.array(
        [RewardStatus[name].value for name in batch["status"].to_pylist()], pa.int16()
    )
    yield _joined(
        *(batch[name] for name in ("decision_uid", "reward_uid", "slot", "kind")),
        _micro(batch["credit"]),
        status,
        batch["retract"].cast(pa.int8()),
        batch["occurred_at"].cast(pa.int64()),
        batch["received_at"].cast(pa.int64()),
    )


def _micro(credit: pa.Array) -> pa.Array:
    return pc.round(pc.multiply(credit, float(MICRO))).cast(pa.int64())


def _joined(*columns: pa.Array | pa.Scalar) -> list[str]:
    lines: list[str] = pc.binary_join_element_wise(
        *(column.cast(pa.string()) for column in columns), ":"
    ).to_pylist()
    return lines
