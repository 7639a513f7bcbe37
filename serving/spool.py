"""What serving writes while Redis is away: stream entries in files of its own, replayed once Redis is back.

    while (segment := spool.next_segment()) is not None:
        for entry in segment.entries():
            ...  # append it to the stream
        spool.done(segment)

Replaying twice is harmless, the ledger removes doubles; so whatever is in doubt is kept and replayed again.
"""

import logging
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock

from pullarm.domain.errors import ConfigurationError
from serving.segment import (
    HEADER_BYTES,
    RECORD_BYTES,
    SUFFIX,
    ForeignFile,
    Segment,
    sync_directory,
)

_log = logging.getLogger(__name__)

MAX_BYTES = 256 * 1024 * 1024
SEGMENT_BYTES = 16 * 1024 * 1024


class SpoolFull(Exception):
    """The spool cannot take the entry and has kept nothing of it; the message says why and what to do."""


class Spool:
    """The spool of one process.

    Its methods may be called from any thread. They wait for each other's writes, but never for the reading of a
    segment: writing goes on while segments are replayed or adopted. Several processes share a directory.
    """

    def __init__(
        self,
        directory: Path,
        process: str,
        *,
        max_bytes: int = MAX_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        """Make the directory where it is missing; raises ConfigurationError where it cannot be written to.

        `process` becomes part of the file names, for whoever looks at them. `max_bytes` bounds what may wait here for
        replay, what was adopted included; no file but one of a single entry exceeds `segment_bytes`.
        """
        self.written = self.torn = self.damaged = 0
        """Since the start: entries written, bytes cut off unfinished writes, records that could not be read."""
        self._directory = directory
        self._process = name_of(process)
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._lock = Lock()
        self._segments: tuple[Segment, ...] = ()
        self._active: Segment | None = None
        """The one of them that is written to."""
        self._unremovable: list[Segment] = []
        """Done with; their locks are kept, so that nobody replays them over and over."""
        self._newest_ns = 0
        self._left_alone: set[str] = set()
        _prepare(directory)

    @property
    def waiting_bytes(self) -> int:
        """What waits for replay, in bytes of files."""
        return sum(segment.bytes for segment in self._segments)

    @property
    def waiting_entries(self) -> int:
        """What waits for replay, in entries."""
        return sum(segment.count for segment in self._segments)

    def write(self, entry: bytes) -> None:
        """Return once the entry is durable; raises SpoolFull, and takes entries again as soon as there is room."""
        size = RECORD_BYTES + len(entry)
        with self._lock:
            held = self.waiting_bytes
            if held + HEADER_BYTES + size > self._max_bytes:
                raise SpoolFull(
                    f"the spool holds {held} of at most {self._max_bytes} bytes; it empties once Redis is back"
                )
            try:
                self._segment_for(size).append(entry)
            except OSError as error:
                self._seal()
                raise SpoolFull(
                    f"the spool cannot be written ({error.strerror}); make room, or mend the disk of PULLARM_SPOOL"
                ) from error
            self.written += 1

    def next_segment(self) -> Segment | None:
        """The oldest segment, the same until it is done; None when nothing waits."""
        with self._lock:
            if self._segments == (self._active,):
                self._seal()
            sealed = [segment for segment in self._segments if segment is not self._active]
            return min(sealed, key=lambda segment: segment.path.name, default=None)

    def done(self, segment: Segment) -> None:
        """Every entry of it is in the stream: delete it, or keep it aside where records could not be read.

        Raises RuntimeError when its entries were not read to the end: then some cannot be in the stream.
        """
        reading = segment.reading
        if reading is None:
            raise RuntimeError("a segment is done once its entries were read to the end")
        with self._lock:
            if segment not in self._segments:
                return  # the spool was closed meanwhile: it may be another process's by now
            self._drop(segment)
            self.torn += reading.torn
            self.damaged += reading.damaged
        if reading.torn:
            _log.warning("%s: cut off %d bytes of an unfinished write", segment.path, reading.torn)
        try:
            if reading.damaged == 0:
                segment.remove()
                return
            _log.error(
                "spool segment is damaged: %d entries were read, %d records cannot be; kept as %s",
                *(reading.entries, reading.damaged, segment.set_aside()),
            )
        except OSError as error:
            _log.error("%s is replayed but cannot be removed: %s", segment.path, error)
            self._unremovable.append(segment)

    def adopt(self) -> int:
        """Take over what processes that have ended left behind, oldest first; the number of segments.

        What exceeds `max_bytes`, or is left behind later, remains for another call: call it at the start, and whenever
        there is no next segment. What is not a segment of this version is left alone, and logged once.
        """
        adopted = 0
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            segment = self._take(path)
            if segment is not None:
                with self._lock:
                    self._segments += (segment,)
                adopted += 1
        return adopted

    def close(self) -> None:
        """Give everything up for another process to adopt."""
        with self._lock:
            for segment in (*self._segments, *self._unremovable):
                segment.close()
            self._segments, self._active = (), None

    def _segment_for(self, size: int) -> Segment:
        """The segment for a record of this size."""
        if self._active is not None and self._active.bytes + size > self._segment_bytes:
            self._seal()
        if self._active is None:
            # Names sort by age, also after the clock was set back.
            self._newest_ns = max(time.time_ns(), self._newest_ns + 1)
            self._active = Segment.create(
                self._directory, f"{self._newest_ns:020d}-{self._process}"
            )
            self._segments += (self._active,)
        return self._active

    def _seal(self) -> None:
        """Write to the active segment no more; one without an entry is of no use to anybody."""
        active, self._active = self._active, None
        if active is not None and active.count == 0:
            self._drop(active)
            with suppress(OSError):  # then whoever adopts it removes it
                active.remove()
            active.close()

    def _drop(self, segment: Segment) -> None:
        self._segments = tuple(other for other in self._segments if other is not segment)

    def _take(self, path: Path) -> Segment | None:
        try:
            held = self.waiting_bytes
            if held and held + path.stat().st_size > self._max_bytes:
                return None
            return Segment.take(path)
        except FileNotFoundError:  # its owner was done with it just now
            return None
        except (ForeignFile, OSError) as problem:
            if path.name not in self._left_alone:
                self._left_alone.add(path.name)
                _log.warning("%s is left alone: %s", path, problem)
            return None


def name_of(process: str) -> str:
    """The name of a process as it may be part of a file's."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", process)[:64]


def _prepare(directory: Path) -> None:
    problem = "this process may not write there"
    try:
        new = not directory.exists()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if new:
            sync_directory(directory.parent)
        usable = os.access(directory, os.R_OK | os.W_OK | os.X_OK)
    except OSError as error:
        usable, problem = False, f"{error.strerror}"
    if not usable:
        raise ConfigurationError(
            f"PULLARM_SPOOL={directory}: {problem}; name a directory it can write"
        )
