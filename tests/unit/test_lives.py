"""Of a process that has ended somebody tells the ledger so, once nothing of it is left in the spool."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from serving.lives import Lives
from serving.spool import Spool


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Spool(tmp_path / "spool", "nobody").close()
    return tmp_path / "spool"


Begin = Callable[[str], Lives]


@pytest.fixture
def begin(folder: Path) -> Iterator[Begin]:
    """Begins a life, which ends with the test at the latest."""
    with ExitStack() as ending:

        def begun(life: str) -> Lives:
            lives = Lives(folder, life)
            ending.callback(lives.close)
            return lives

        yield begun


def test_life_lasts_until_its_process_ends_and_is_told_once(begin: Begin) -> None:
    first, second = begin("a-1"), begin("b-1")
    assert (first.ended(), second.ended()) == ([], [])
    second.close()  # as its end would
    assert first.ended() == ["b-1"]
    assert first.ended() == ["b-1"]  # until it is told
    first.forget("b-1")
    assert first.ended() == []
    assert begin("c-1").ended() == []


def test_only_one_tells_it_unless_that_one_ends_before(begin: Begin) -> None:
    begin("a-1").close()
    first, second = begin("b-1"), begin("c-1")
    assert (first.ended(), second.ended()) == (["a-1"], [])
    first.close()
    assert second.ended() == ["a-1", "b-1"]


def test_life_with_anything_left_in_the_spool_is_not_told(folder: Path, begin: Begin) -> None:
    dead, heir, other = (Spool(folder, life) for life in ("a-1", "b-1", "c-1"))
    gone, lives = begin("a-1"), begin("b-1")
    dead.write(b"an entry")
    gone.close()
    dead.close()
    assert lives.ended() == []  # nobody has it yet
    assert other.adopt() == 1
    assert lives.ended() == []  # another process is bringing it to the stream
    segment = other.next_segment()
    assert segment is not None
    assert list(segment.entries()) == [b"an entry"]
    other.done(segment)
    assert lives.ended() == ["a-1"]
    for spool in (heir, other):
        spool.close()


def test_its_own_life_is_told_by_its_name(begin: Begin) -> None:
    own = begin("a-1")
    own.forget("a-1")
    own.close()
    assert begin("b-1").ended() == []


def test_folder_that_cannot_be_written_is_told_and_harms_nobody(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "lives").write_text("in the way")
    lives = Lives(folder, "a-1")
    assert "the end of a-1 will have to be told by hand" in caplog.text
    assert lives.ended() == []
    lives.close()
