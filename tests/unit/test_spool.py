"""What is written to the spool waits there, within its bound, until it was replayed."""

import logging
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pullarm.domain.errors import ConfigurationError
from serving.segment import HEADER_BYTES, RECORD_BYTES
from serving.spool import Spool, SpoolFull


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "spool"


@pytest.fixture
def spool(directory: Path) -> Iterator[Spool]:
    spool = Spool(directory, "serving/1", segment_bytes=10_000)
    yield spool
    spool.close()


def entries(count: int, size: int = 1000, seed: int = 1) -> list[bytes]:
    random_bytes = random.Random(seed).randbytes
    return [random_bytes(size) for _ in range(count)]


def replay(spool: Spool) -> list[bytes]:
    """Everything that waits."""
    found: list[bytes] = []
    while (segment := spool.next_segment()) is not None:
        found += segment.entries()
        spool.done(segment)
    return found


def leave(directory: Path, written: list[bytes]) -> Path:
    """The one file of a process that has ended."""
    ended = Spool(directory, "ended")
    for entry in written:
        ended.write(entry)
    segment = ended.next_segment()
    assert segment is not None
    ended.close()
    return segment.path


def test_entries_are_replayed_in_the_order_of_writing(spool: Spool, directory: Path) -> None:
    written = entries(50)
    for entry in written:
        spool.write(entry)
    assert (spool.written, spool.waiting_entries) == (50, 50)
    files = list(directory.iterdir())
    assert len(files) == 6
    assert spool.waiting_bytes == sum(file.stat().st_size for file in files)
    assert max(file.stat().st_size for file in files) <= 10_000
    assert replay(spool) == written
    assert (spool.waiting_entries, spool.waiting_bytes, list(directory.iterdir())) == (0, 0, [])


def test_entry_larger_than_a_segment_has_one_of_its_own(spool: Spool) -> None:
    written = [b"small", bytes(300_000), b"small again"]
    for entry in written:
        spool.write(entry)
    assert replay(spool) == written


def test_segment_comes_again_until_it_is_done(spool: Spool) -> None:
    spool.write(b"entry")
    segment = spool.next_segment()
    assert segment is not None
    assert list(segment.entries()) == [b"entry"]
    spool.write(b"meanwhile")
    assert spool.next_segment() is segment
    assert replay(spool) == [b"entry", b"meanwhile"]


def test_segment_that_was_not_read_to_its_end_is_not_done(spool: Spool) -> None:
    spool.write(b"one")
    spool.write(b"two")
    segment = spool.next_segment()
    assert segment is not None
    next(segment.entries())
    with pytest.raises(RuntimeError, match="read to the end"):
        spool.done(segment)
    assert replay(spool) == [b"one", b"two"]


def test_adopted_segment_is_not_done_because_its_entries_were_counted(
    spool: Spool, directory: Path
) -> None:
    leave(directory, [b"entry"])
    spool.adopt()
    segment = spool.next_segment()
    assert segment is not None
    with pytest.raises(RuntimeError, match="read to the end"):
        spool.done(segment)


def test_writing_goes_on_while_segments_are_replayed(spool: Spool) -> None:
    written = entries(300, size=700)

    def write() -> None:
        for entry in written:
            spool.write(entry)

    writer = threading.Thread(target=write)
    writer.start()
    found = []
    while writer.is_alive():
        found += replay(spool)
    writer.join()
    assert found + replay(spool) == written
    assert spool.waiting_bytes == 0


def test_files_are_nobody_elses_business(spool: Spool, directory: Path) -> None:
    spool.write(b"entry")
    (file,) = directory.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700
    assert "-serving_1-" in file.name


def test_full_spool_refuses_until_it_was_replayed(directory: Path) -> None:
    each = RECORD_BYTES + 1000
    spool = Spool(directory, "p", max_bytes=HEADER_BYTES + 3 * each)
    written = entries(4)
    for entry in written[:2]:
        spool.write(entry)
    with pytest.raises(SpoolFull, match=r"holds 2060 of at most 3080 bytes; .* Redis is back"):
        spool.write(written[2])
    assert spool.written == spool.waiting_entries == 2
    assert replay(spool) == written[:2]
    spool.write(written[3])
    assert replay(spool) == written[3:]


def test_adopted_segments_count_against_the_bound(directory: Path) -> None:
    left = [leave(directory, entries(3, seed=seed)) for seed in range(3)]
    size = left[0].stat().st_size
    spool = Spool(directory, "p", max_bytes=2 * size)
    assert spool.adopt() == 2
    assert (spool.waiting_bytes, spool.waiting_entries) == (2 * size, 6)
    with pytest.raises(SpoolFull):
        spool.write(b"entry")
    assert replay(spool) == [*entries(3, seed=0), *entries(3, seed=1)]
    assert spool.adopt() == 1
    assert replay(spool) == entries(3, seed=2)


def test_segment_beyond_the_whole_bound_is_adopted_alone(directory: Path) -> None:
    leave(directory, entries(3))
    spool = Spool(directory, "p", max_bytes=100)
    assert spool.adopt() == 1
    assert replay(spool) == entries(3)


def test_names_sort_by_age_across_processes(spool: Spool, directory: Path) -> None:
    leave(directory, [b"oldest"])
    spool.write(b"older")
    assert replay(spool) == [b"older"]
    spool.write(b"newest")
    assert spool.adopt() == 1
    assert replay(spool) == [b"oldest", b"newest"]


def test_torn_tail_is_cut_off_and_counted(
    spool: Spool, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = leave(directory, [b"first", b"second"])
    os.truncate(path, path.stat().st_size - 3)
    assert spool.adopt() == 1
    assert replay(spool) == [b"first"]
    assert (spool.torn, spool.damaged) == (RECORD_BYTES + 3, 0)
    assert "cut off 23 bytes of an unfinished write" in caplog.text
    assert list(directory.iterdir()) == []


def test_damaged_segment_gives_what_it_can_and_is_kept_aside(
    spool: Spool, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = leave(directory, [b"first", b"second", b"third"])
    data = path.read_bytes().replace(b"second", b"sEcond")
    path.write_bytes(data)
    assert spool.adopt() == 1
    assert replay(spool) == [b"first", b"third"]
    assert (spool.torn, spool.damaged) == (0, 1)
    (kept,) = directory.iterdir()
    assert (kept.name, kept.read_bytes()) == (f"{path.name}.damaged", data)
    (told,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "2 entries were read, 1 records cannot be" in told.getMessage()
    assert kept.name in told.getMessage()
    assert spool.adopt() == 0


def test_what_is_no_segment_is_left_alone_and_told_once(
    spool: Spool, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (directory / "1.spool").write_bytes(b"not a segment at all")
    (directory / "2.spool").mkdir()
    os.mkfifo(directory / "3.spool")
    (directory / "notes.txt").write_text("a human's")
    assert [spool.adopt(), spool.adopt()] == [0, 0]
    told = [record.getMessage() for record in caplog.records]
    assert [name for name in ("1", "2", "3") if sum(f"{name}.spool" in t for t in told) == 1] == [
        "1",
        "2",
        "3",
    ]
    assert len(told) == 3
    assert len(list(directory.iterdir())) == 4


def test_file_without_a_header_is_removed(spool: Spool, directory: Path) -> None:
    (directory / "1.spool").touch()
    assert spool.adopt() == 0
    assert list(directory.iterdir()) == []


def test_file_without_an_entry_is_removed(spool: Spool, directory: Path) -> None:
    os.truncate(leave(directory, [b"entry"]), HEADER_BYTES)
    spool.adopt()
    assert replay(spool) == []
    assert list(directory.iterdir()) == []


def test_closed_spool_leaves_everything_to_the_next(directory: Path) -> None:
    first, second = Spool(directory, "1"), Spool(directory, "2")
    first.write(b"sealed")
    segment = first.next_segment()
    assert segment is not None
    first.write(b"active")
    assert list(segment.entries()) == [b"sealed"]
    assert second.adopt() == 0
    first.close()
    assert second.adopt() == 2
    first.done(segment)
    assert len(list(directory.iterdir())) == 2  # they are no longer the first one's to delete
    assert replay(second) == [b"sealed", b"active"]


def test_segment_that_cannot_be_removed_is_not_replayed_over_and_over(
    spool: Spool, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = leave(directory, [b"first", b"second"])
    path.write_bytes(path.read_bytes().replace(b"second", b"sEcond"))
    path.with_name(f"{path.name}.damaged").mkdir()  # in the way
    assert spool.adopt() == 1
    assert replay(spool) == [b"first"]
    assert "is replayed but cannot be removed" in caplog.text
    assert (path.exists(), spool.adopt()) == (True, 0)
    spool.close()
    assert spool.adopt() == 1


def test_directory_that_vanished_is_told_and_writing_resumes_with_it(directory: Path) -> None:
    spool = Spool(directory, "p")
    directory.rmdir()
    with pytest.raises(SpoolFull, match=r"No such file or directory.*PULLARM_SPOOL"):
        spool.write(b"entry")
    assert (spool.waiting_entries, spool.waiting_bytes, spool.written) == (0, 0, 0)
    directory.mkdir()
    spool.write(b"entry")
    assert replay(spool) == [b"entry"]


def test_setting_that_names_no_directory_is_a_configuration_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for wrong in (file, file / "below"):
        with pytest.raises(ConfigurationError, match=r"PULLARM_SPOOL=.*name a directory"):
            Spool(wrong, "p")
