"""One file of the spool. Integers are little-endian:

    header   magic and format (8 bytes) | marker (8) | CRC-32 of both (4); so in every format to come
    record   marker (8) | length of the entry (4) | its CRC-32 (4) | CRC-32 of these 16 bytes (4) | the entry

The marker is drawn at random for each file, as in Avro's container files: behind a damaged record it shows where the
next one starts, and nobody can write something into an event that would be taken for a record.

Who holds the flock of a segment owns it. The system releases the lock when the process ends, however that happens;
programs that it started do not inherit it, forked copies of itself would. Needs a local file system.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from struct import Struct
from typing import Literal, Self
from zlib import crc32

SUFFIX, DAMAGED = ".spool", ".damaged"

_MAGIC, _FORMAT = b"PULLSPL", 1
_OPENING = _MAGIC + bytes([_FORMAT])
_RECORD_HEAD = Struct("<8sII")
_CHECKSUM = Struct("<I")
_MARKER_BYTES = 8
HEADER_BYTES = len(_OPENING) + _MARKER_BYTES + _CHECKSUM.size
RECORD_BYTES = _RECORD_HEAD.size + _CHECKSUM.size
"""What a record needs besides its entry."""

_sync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


class ForeignFile(Exception):
    """The file is not a segment that this version can read."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found in a segment that was read to its end."""

    entries: int
    torn: int
    """Bytes of a last record that was never finished, so never acknowledged."""
    damaged: int
    """Records that could not be read; a stretch in which not even their markers are left counts as one."""


class Segment:
    """Entries in a file that this process owns until it removes, sets aside or closes it."""

    def __init__(self, path: Path, file: FileIO, marker: bytes) -> None:
        self.path = path
        self.bytes = os.fstat(file.fileno()).st_size
        self.count = 0
        """Entries in it, as far as is known."""
        self.reading: Reading | None = None
        """None until what the last call of `entries` returned was read to its end."""
        self._file = file
        self._marker = marker

    @classmethod
    def create(cls, directory: Path, stem: str) -> Self:
        """A new file, its name durable, that nobody else can take before it is given up. Raises OSError."""
        while True:
            marker = os.urandom(_MARKER_BYTES)
            path = directory / f"{stem}-{marker.hex()}{SUFFIX}"
            with ExitStack() as undo:
                file = undo.enter_context(_open(path, "xb+"))
                undo.callback(path.unlink, missing_ok=True)
                if not _own(path, file):
                    continue  # before it was locked, another process removed it as one without entries
                opening = _OPENING + marker
                _write(file, opening + _CHECKSUM.pack(crc32(opening)))
                sync_directory(directory)
                undo.pop_all()
                return cls(path, file, marker)

    @classmethod
    def take(cls, path: Path) -> Self | None:
        """The file of a process that has ended; None while its owner lives, and where nothing is in it: it is removed.

        Raises ForeignFile and OSError, and then leaves the file as it is.
        """
        with ExitStack() as undo:
            try:
                file = undo.enter_context(_open(path, "rb+"))
            except FileNotFoundError:  # its owner was done with it just now
                return None
            if not _own(path, file):
                return None
            start = os.pread(file.fileno(), HEADER_BYTES + RECORD_BYTES, 0)
            if len(start) < HEADER_BYTES and _OPENING.startswith(start[: len(_OPENING)]):
                path.unlink()
                return None
            segment = cls(path, file, _marker(start))
            segment.count = sum(1 for _ in segment.entries())
            segment.reading = None  # they were counted, not replayed
            undo.pop_all()
            return segment

    def append(self, entry: bytes) -> None:
        """Return once the entry is durable. Raises OSError; nothing of the entry is kept then, and none may follow it:
        after a failed sync the system no longer knows what of the file is on the disk.
        """
        head = _RECORD_HEAD.pack(self._marker, len(entry), crc32(entry))
        try:
            _write(self._file, head + _CHECKSUM.pack(crc32(head)) + entry)
            _sync(self._file.fileno())
        except OSError:
            with suppress(OSError):  # what cannot be cut off lies beyond `bytes` and is not read
                self._file.truncate(self.bytes)
            raise
        self.bytes += RECORD_BYTES + len(entry)
        self.count += 1

    def entries(self) -> Iterator[bytes]:
        """Every entry that can be read, in the order of writing; each call begins with the first."""
        self.reading = None
        try:
            self._file.seek(0)
            data = self._file.readall()[: self.bytes]
        except OSError:  # else a bad sector would keep all later segments from being replayed
            self.reading = Reading(entries=0, torn=0, damaged=1)
            return
        at, found, torn, damaged = HEADER_BYTES, 0, 0, 0
        while at < len(data):
            head = _record_head(data, at, self._marker)
            start = at + RECORD_BYTES
            if start + (head[0] if head else 0) > len(data):
                torn = len(data) - at
                break
            if head is None:
                damaged += 1
                following = data.find(self._marker, at + 1)
                at = following if following >= 0 else len(data)
                continue
            at = start + head[0]
            entry = data[start:at]
            if crc32(entry) == head[1]:
                found += 1
                yield entry
            else:
                damaged += 1
        self.reading = Reading(found, torn, damaged)

    def remove(self) -> None:
        """Delete the file. Raises OSError."""
        self.path.unlink(missing_ok=True)
        self.close()

    def set_aside(self) -> Path:
        """Keep the file for a human, under a name that nobody adopts, and return that. Raises OSError."""
        kept = self.path.rename(self.path.with_name(self.path.name + DAMAGED))
        self.close()
        return kept

    def close(self) -> None:
        """Give the file up for another process to adopt."""
        self._file.close()


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path, mode: Literal["xb+", "rb+"]) -> FileIO:
    return open(path, mode, buffering=0, opener=lambda name, flags: os.open(name, flags, 0o600))


def _own(path: Path, file: FileIO) -> bool:
    """Lock the file; False where another process has locked it, or removed it since it was opened."""
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    return False


def _write(file: FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _marker(start: bytes) -> bytes:
    """The marker of a file that starts so; raises ForeignFile."""
    header, again = start[:HEADER_BYTES], start[HEADER_BYTES:][:_MARKER_BYTES]
    opening, checksum = header[: -_CHECKSUM.size], header[-_CHECKSUM.size :]
    if opening.startswith(_MAGIC) and _CHECKSUM.pack(crc32(opening)) == checksum:
        form = opening[len(_MAGIC)]
        if form != _FORMAT:
            raise ForeignFile(f"it has format {form}, and this version reads {_FORMAT}")
        return opening[len(_OPENING) :]
    if _record_head(start, HEADER_BYTES, again) is not None:
        return again  # only the header is damaged
    raise ForeignFile("it does not start as a segment does")


def _record_head(data: bytes, at: int, marker: bytes) -> tuple[int, int] | None:
    """Length and CRC-32 of the entry whose record starts here; None where none soundly does."""
    start = at + _RECORD_HEAD.size
    head, checksum = data[at:start], data[start : start + _CHECKSUM.size]
    if not head.startswith(marker) or _CHECKSUM.pack(crc32(head)) != checksum:
        return None
    _, length, of_entry = _RECORD_HEAD.unpack(head)
    return length, of_entry
