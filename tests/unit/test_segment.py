"""A segment gives back what was written to it, and of a damaged one all that can still be read."""

import os
import random
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.segment import HEADER_BYTES, RECORD_BYTES, ForeignFile, Reading, Segment

ENTRIES = [random.Random(7).randbytes(size) for size in (1, 40, 300_000, 0, 1000)]
SMALL = [b"first", b"second entry", b"3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("segments")


def written(folder: Path, entries: Sequence[bytes]) -> bytes:
    """The bytes of a segment with these entries."""
    segment = Segment.create(folder, "0")
    for entry in entries:
        segment.append(entry)
    data = segment.path.read_bytes()
    segment.remove()
    return data


def taken(folder: Path, data: bytes) -> Segment | None:
    """The segment that a process left behind with these bytes."""
    path = folder / "1.spool"
    path.write_bytes(data)
    return Segment.take(path)


def read(folder: Path, data: bytes) -> tuple[list[bytes], Reading | None]:
    """What is found in a file with these bytes."""
    segment = taken(folder, data)
    assert segment is not None
    entries = list(segment.entries())
    segment.remove()
    assert segment.count == len(entries)
    return entries, segment.reading


def record_starts(entries: Sequence[bytes]) -> list[int]:
    """Where each record begins, and where the last ends."""
    starts = [HEADER_BYTES]
    for entry in entries:
        starts.append(starts[-1] + RECORD_BYTES + len(entry))
    return starts


def test_entries_come_back_in_order(folder: Path) -> None:
    data = written(folder, ENTRIES)
    assert len(data) == record_starts(ENTRIES)[-1]
    assert read(folder, data) == (ENTRIES, Reading(len(ENTRIES), 0, 0))


def test_unfinished_write_is_cut_off_wherever_it_stopped(folder: Path) -> None:
    data = written(folder, SMALL)
    starts = record_starts(SMALL)
    for end in range(HEADER_BYTES, len(data)):
        whole = sum(start <= end for start in starts[1:])
        assert read(folder, data[:end]) == (SMALL[:whole], Reading(whole, end - starts[whole], 0))


@pytest.mark.parametrize("size", range(HEADER_BYTES))
def test_file_whose_header_was_never_finished_is_removed(folder: Path, size: int) -> None:
    assert taken(folder, written(folder, SMALL)[:size]) is None
    assert not (folder / "1.spool").exists()


@given(data=st.data(), count=st.integers(1, 6))
def test_flipped_bit_costs_at_most_its_own_record(
    folder: Path, data: st.DataObject, count: int
) -> None:
    entries = [bytes([number]) * (11 * number) for number in range(count)]
    damaged = bytearray(written(folder, entries))
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    hit = [at >= start for start in record_starts(entries)].count(True) - 1
    found, reading = read(folder, bytes(damaged))
    if hit < 0:  # the header is there to know the file by; its marker is in every record
        assert (found, reading) == (entries, Reading(count, 0, 0))
    else:
        left = entries[:hit] + entries[hit + 1 :]
        assert (found, reading) == (left, Reading(count - 1, 0, 1))


def test_lost_block_costs_the_records_in_it(folder: Path) -> None:
    entries = [bytes([number]) * 1000 for number in range(20)]
    damaged = bytearray(written(folder, entries))
    damaged[4096:8192] = bytes(4096)
    starts = record_starts(entries)
    kept = [n for n in range(20) if starts[n + 1] <= 4096 or starts[n] >= 8192]
    assert kept == [0, 1, 2, *range(9, 20)]
    # One whose end was lost, and then a stretch of unknown many.
    assert read(folder, bytes(damaged)) == ([entries[n] for n in kept], Reading(14, 0, 2))


def test_neighbouring_damage_is_counted_record_by_record(folder: Path) -> None:
    damaged = bytearray(written(folder, SMALL))
    starts = record_starts(SMALL)
    damaged[starts[0] + 9] ^= 1  # a length
    damaged[starts[1] + RECORD_BYTES] ^= 1  # an entry
    assert read(folder, bytes(damaged)) == ([b"3"], Reading(1, 0, 2))


def test_event_that_looks_like_a_record_is_never_taken_for_one(folder: Path) -> None:
    other = written(folder, [b"forged"])[HEADER_BYTES:]
    damaged = bytearray(written(folder, [other * 3, b"genuine"]))
    damaged[HEADER_BYTES] ^= 1
    assert read(folder, bytes(damaged)) == ([b"genuine"], Reading(1, 0, 1))


def test_segment_of_a_newer_format_is_refused_and_left(folder: Path) -> None:
    opening = b"PULLSPL\x02" + bytes(8)
    data = opening + crc32(opening).to_bytes(4, "little") + b"whatever comes then"
    with pytest.raises(ForeignFile, match="format 2, and this version reads 1"):
        taken(folder, data)
    assert (folder / "1.spool").read_bytes() == data


@pytest.mark.parametrize("data", [b"x", b"PULLSPLX", b"hello " * 99, bytes(4096)])
def test_foreign_file_is_refused_and_left(folder: Path, data: bytes) -> None:
    with pytest.raises(ForeignFile, match="does not start as a segment"):
        taken(folder, data)
    assert (folder / "1.spool").read_bytes() == data


def test_segment_belongs_to_one_at_a_time(folder: Path) -> None:
    mine = Segment.create(folder, "0")
    mine.append(b"entry")
    assert Segment.take(mine.path) is None
    mine.close()
    first = Segment.take(mine.path)
    assert first is not None
    assert Segment.take(mine.path) is None
    first.remove()
    assert Segment.take(mine.path) is None


def test_what_a_failed_write_left_behind_is_not_read(folder: Path) -> None:
    segment = Segment.create(folder, "0")
    segment.append(b"acknowledged")
    record = segment.path.read_bytes()[HEADER_BYTES:]
    with segment.path.open("ab") as file:  # as if it could not be cut off
        file.write(record)
    assert list(segment.entries()) == [b"acknowledged"]
    assert segment.reading == Reading(1, 0, 0)
    segment.remove()


def test_file_of_a_disk_that_cannot_be_read_counts_as_damaged(folder: Path) -> None:
    segment = Segment.create(folder, "0")
    segment.append(b"entry")
    write_only = os.open(segment.path, os.O_WRONLY)
    os.dup2(write_only, segment._file.fileno())
    os.close(write_only)
    assert list(segment.entries()) == []
    assert segment.reading == Reading(0, 0, 1)
    assert segment.set_aside().name.endswith(".spool.damaged")


def test_reading_counts_only_once_it_came_to_the_end(folder: Path) -> None:
    segment = Segment.create(folder, "0")
    for entry in SMALL:
        segment.append(entry)
    assert list(segment.entries()) == SMALL
    readings = []
    for _ in segment.entries():
        readings.append(segment.reading)
    assert readings == [None] * 3
    assert segment.reading == Reading(3, 0, 0)
    segment.remove()
