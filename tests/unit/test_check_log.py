"""A sound log has no finding; each thing that can be wrong with it is found, in its row."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import pytest

from pullarm.domain.log_row import KindCredit, LogRow
from replay.check_log import GRACE, SKEW, Finding, LogCheck, found_again
from tests.log_rows import START, slate

Spoil = Callable[[LogRow], LogRow]
MS = timedelta(milliseconds=1)


def findings(rows: list[LogRow]) -> list[Finding]:
    log = LogCheck()
    return [*log.check(rows), *found_again(rows, log.duplicates())]


def sound(decisions: int = 5) -> list[LogRow]:
    random = Random(9)
    return [row for n in range(decisions) for row in slate(random, at=START + timedelta(seconds=n))]


def came(change: Callable[[KindCredit, datetime], KindCredit]) -> Spoil:
    """Change the credit of a row, knowing its time of decision."""

    def spoil(row: LogRow) -> LogRow:
        return replace(row, rewards={"click": change(row.rewards["click"], row.decided_at)})

    return spoil


def test_sound_log_has_no_finding() -> None:
    log = LogCheck()
    rows = sound()
    assert list(log.check(rows)) == []
    assert log.duplicates() == frozenset()
    assert (log.rows, log.decisions) == (10, 5)
    assert findings([]) == []


@pytest.mark.parametrize(
    ("check", "said", "spoil"),
    [
        ("time", "is not 32 hex digits", lambda r: replace(r, decision_uid="ab")),
        ("time", "is not the uid's", lambda r: replace(r, decided_at=r.decided_at + SKEW)),
        ("propensity", "no probability above 0", lambda r: replace(r, weight=0, floor=None)),
        ("propensity", "no probability above 0", lambda r: replace(r, weight=r.total + 1)),
        ("propensity", "is not weight / total", lambda r: replace(r, propensity=0.3)),
        ("propensity", "nan is not weight / total", lambda r: replace(r, propensity=float("nan"))),
        ("candidates", "candidates_hash is ", lambda r: replace(r, candidates_hash="0" * 16)),
        ("candidates", "candidates_hash is ", lambda r: replace(r, candidate_nos=(1, 3, 0, 4, 2))),
        ("candidates", "4 arm ids beside 5", lambda r: replace(r, candidates=r.candidates[:4])),
        ("candidates", "without the other", lambda r: replace(r, candidates=None)),
        ("candidates", "is negative", lambda r: replace(r, candidate_nos=(1, -1, 0, 4, 2))),
        ("arm", "is not among the candidates", lambda r: replace(r, arm_no=5, arm_id="arm-5")),
        ("arm", "'arm-2', number 1, is not", lambda r: replace(r, arm_id="arm-2")),
        ("window", "before its decision", came(lambda c, at: replace(c, first_at=at - SKEW - MS))),
        (
            "window",
            "and the window closed at",
            came(lambda c, at: replace(c, last_at=at + 24 * GRACE + MS)),
        ),
        (
            "window",
            "after window and grace",
            came(lambda c, at: replace(c, received_at=at + 25 * GRACE + MS)),
        ),
    ],
)
def test_what_is_wrong_is_found_in_its_row(check: str, said: str, spoil: Spoil) -> None:
    rows = sound()
    rows[4] = spoil(rows[4])
    found = [each for each in findings(rows) if each.check == check]
    assert [(each.row, each.slot) for each in found][:1] == [(5, 1)]
    assert said in found[0].problem
    assert {each.row for each in findings(rows)} <= {5, 6}


@pytest.mark.parametrize(
    ("slots", "slot", "floor", "weight", "found"),
    [
        # 0.1 of 2^32 over 4 candidates is 107,374,182.4 in the first slot, over 3 of them 143,165,576.5 in the second.
        (2, 1, 0.1, 107_374_182, []),
        (2, 1, 0.1, 107_374_180, ["floor"]),
        (2, 2, 0.1, 143_165_576, []),
        (2, 2, 0.1, 143_165_574, ["floor"]),
        (2, 1, None, 1, []),
    ],
)
def test_floor_is_shared_by_the_candidates_left(
    slots: int, slot: int, floor: float | None, weight: int, found: list[str]
) -> None:
    rows = slate(Random(2), slots)
    drawn = replace(rows[slot - 1], floor=floor, weight=weight, propensity=weight / (1 << 32))
    rows[slot - 1] = drawn
    assert [each.check for each in findings(rows)] == found
    rows[slot - 1] = replace(drawn, candidates=None, candidate_nos=None)
    assert findings(rows) == []


def test_decision_that_comes_twice_is_found_in_all_its_rows() -> None:
    rows = sound()
    found = findings([*rows, *rows[2:4]])
    assert [(each.row, each.check) for each in found] == [
        (3, "duplicate"),
        (4, "duplicate"),
        (11, "duplicate"),
        (12, "duplicate"),
    ]


@pytest.mark.parametrize("uid_end", ["00", "0000"])
def test_uid_that_ends_in_zeros_is_told_apart(uid_end: str) -> None:
    """numpy cuts zeros off the end of bytes."""
    one, other = sound(2)[:1], sound(2)[2:3]
    cut = len(uid_end)
    one = [replace(row, decision_uid=row.decision_uid[:-cut] + uid_end) for row in one]
    assert findings([*one, *other]) == []
    assert {each.row for each in findings([*one, *other, *one])} == {1, 3}


def test_slots_of_a_decision_come_once_and_in_order() -> None:
    rows = sound(2)
    assert [(f.row, f.check) for f in findings([rows[0], rows[1], rows[1]])] == [
        (3, "duplicate"),
        (3, "arm"),
    ]
    assert [(f.row, f.check) for f in findings(rows[1:])] == [(1, "slots")]


def test_arm_in_two_slots_of_a_decision_is_found() -> None:
    rows = slate(Random(3))
    rows[1] = replace(rows[1], arm_no=1, arm_id="arm-1")
    (found,) = findings(rows)
    assert (found.row, found.check) == (2, "arm")
    assert "fills another slot" in found.problem
