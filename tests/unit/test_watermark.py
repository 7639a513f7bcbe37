"""Up to when the ledger is complete: the minimum over the processes of which more may come."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pullarm.domain.intake import SETTLE_MS, SILENCE_MS, Cut, Intake, Watermark, watermark

NOW_MS = 1_760_400_000_000
RUNNING = Intake(
    process="a", numbered=9, gaps=(), until_ms=NOW_MS - 100, spooled=False, heard_ms=NOW_MS - 50
)
SLOWER = replace(RUNNING, process="b", until_ms=NOW_MS - 90_000)
ENDED = replace(SLOWER, ended_ms=NOW_MS - SETTLE_MS)


def test_it_is_the_minimum_over_the_processes() -> None:
    assert watermark([RUNNING, SLOWER], NOW_MS) == Watermark(
        at_ms=NOW_MS - 90_000 - SETTLE_MS, process="b"
    )
    assert watermark([RUNNING], NOW_MS).at_ms == NOW_MS - 100 - SETTLE_MS


def test_process_that_has_said_nothing_holds_back_everything() -> None:
    silent = replace(RUNNING, process="c", until_ms=None)
    assert watermark([RUNNING, silent, SLOWER], NOW_MS) == Watermark(at_ms=None, process="c")


@pytest.mark.parametrize(
    ("life", "held"),
    [
        (ENDED, False),
        (replace(ENDED, ended_ms=NOW_MS - SETTLE_MS + 1), True),  # its last entries may be held
        (replace(ENDED, gaps=((2, 4),)), True),
        (replace(SLOWER, heard_ms=NOW_MS - SILENCE_MS), True),
        (replace(SLOWER, heard_ms=NOW_MS - SILENCE_MS - 1), False),
        (replace(ENDED, gaps=((2, 4),), heard_ms=NOW_MS - SILENCE_MS - 1), False),
        (replace(SLOWER, gaps=((2, 4),), waited_for=False), False),
    ],
)
def test_process_of_which_nothing_more_can_come_holds_nothing_back(
    life: Intake, held: bool
) -> None:
    assert life.holds(NOW_MS) is held
    assert watermark([RUNNING, life], NOW_MS).process == ("b" if held else "a")


def test_after_the_last_process_it_stands_where_that_left_it() -> None:
    earlier = replace(ENDED, process="z", until_ms=NOW_MS - 10**6)
    assert watermark([earlier, ENDED], NOW_MS) == Watermark(
        at_ms=NOW_MS - 90_000 - SETTLE_MS, process=""
    )
    assert watermark([], NOW_MS) == Watermark(at_ms=None, process="")


def test_cut_is_complete_up_to_its_watermark_and_no_further() -> None:
    moment = datetime(2026, 8, 1, tzinfo=UTC)
    cut = Cut(fold_no=7, watermark=moment, as_of=moment + timedelta(minutes=1))
    assert cut.complete_until(moment)
    assert not cut.complete_until(moment + timedelta(milliseconds=1))
    assert not Cut(fold_no=7, watermark=None, as_of=moment).complete_until(moment)
