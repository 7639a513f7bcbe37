"""What a decision log must hold to be worth an estimate; pure, row by row.

Each check is a property that off-policy estimators assume of their data: propensities that are the probabilities drawn
with, support for other policies where a floor promises it, the chosen arm among those it was chosen from, no decision
twice, and no reward that the attribution window excludes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import NamedTuple

import numpy as np

from pullarm.domain.decision import GRACE_MS, SKEW_MS, hash_of, pack_arms, uid_ms
from pullarm.domain.log_row import LogRow
from pullarm.policies.slate import RECOMPUTED_SLOTS

SKEW, GRACE = timedelta(milliseconds=SKEW_MS), timedelta(milliseconds=GRACE_MS)
_UID_BYTES = 16


class Finding(NamedTuple):
    """One thing wrong with one row."""

    row: int
    """From 1; a CSV file's head is not counted."""
    decision_uid: str
    slot: int
    check: str
    """Which of the checks failed: duplicate, slots, time, propensity, floor, candidates, arm or window."""
    problem: str


class LogCheck:
    """Checks the rows of a log as they come, and remembers 16 bytes of each decision."""

    def __init__(self) -> None:
        self.rows = 0
        self.decisions = 0
        self._uids = bytearray()
        self._previous: LogRow | None = None
        self._taken: set[int] = set()

    def check(self, rows: Iterable[LogRow]) -> Iterator[Finding]:
        """What is wrong with these rows, but for duplicates that do not follow each other."""
        for row in rows:
            self.rows += 1
            for name, problem in self._problems(row):
                yield Finding(self.rows, row.decision_uid, row.slot, name, problem)
            self._previous = row
            self._taken.add(row.arm_no)

    def duplicates(self) -> frozenset[str]:
        """The uids of decisions whose rows come in more than one place."""
        ids = np.frombuffer(self._uids, dtype=f"S{_UID_BYTES}")
        ids.sort()  # in place
        repeated = np.unique(ids[1:][ids[1:] == ids[:-1]])
        return frozenset(uid.ljust(_UID_BYTES, b"\0").hex() for uid in repeated.tolist())

    def _problems(self, row: LogRow) -> Iterator[tuple[str, str]]:
        before = self._previous
        continues = before is not None and before.decision_uid == row.decision_uid
        if not continues:
            self._taken = set()
            try:
                uid = bytes.fromhex(row.decision_uid)
            except ValueError:
                uid = b""
            if len(uid) == _UID_BYTES:
                self.decisions += 1
                self._uids += uid
            yield from _mistimed(row, uid)
        expected = before.slot + 1 if before is not None and continues else 1
        if row.slot != expected:
            again = continues and row.slot < expected
            yield "duplicate" if again else "slots", f"is slot {row.slot} where {expected} is next"
        if row.arm_no and row.arm_no in self._taken:
            yield "arm", f"{row.arm_id!r} fills another slot of the decision too"
        for name, check in _CHECKS:
            for problem in check(row):
                yield name, problem


def found_again(rows: Iterable[LogRow], uids: frozenset[str]) -> Iterator[Finding]:
    """A finding for each row of a decision that comes in more than one place."""
    for number, row in enumerate(rows, start=1):
        if row.decision_uid in uids:
            problem = "the decision's rows come in more than one place"
            yield Finding(number, row.decision_uid, row.slot, "duplicate", problem)


def _mistimed(row: LogRow, uid: bytes) -> Iterator[tuple[str, str]]:
    if len(uid) != _UID_BYTES:
        yield "time", f"decision_uid {row.decision_uid!r} is not {2 * _UID_BYTES} hex digits"
    elif uid_ms(uid) != round(row.decided_at.timestamp() * 1000):
        yield "time", f"decided_at {row.decided_at} is not the uid's, {uid_ms(uid)} ms since 1970"


def _propensity(row: LogRow) -> Iterator[str]:
    if not 0 < row.weight <= row.total:
        yield f"weight {row.weight} of {row.total} is no probability above 0"
    elif row.propensity != row.weight / row.total:
        yield f"{row.propensity!r} is not weight / total = {row.weight / row.total!r}"


def _floor(row: LogRow) -> Iterator[str]:
    """Every candidate left has at least its equal share of the floor, but for rounding.

    Integer weights are rounded by at most a half and raised to at least 1, so that a total is at most one a candidate
    more than it would be. Past RECOMPUTED_SLOTS, weights are those of the slot before, and renormalised.
    """
    if row.floor is None or row.candidate_nos is None:
        return
    known = len({number for number in row.candidate_nos if number})
    left = known - min(row.slot, RECOMPUTED_SLOTS) + 1
    if left > 0 and row.weight + 1 < row.floor * (row.total - left) / left:
        yield f"{row.weight} of {row.total} is below {row.floor:g} shared by {left} candidates"


def _candidates(row: LogRow) -> Iterator[str]:
    if (row.candidates is None) != (row.candidate_nos is None):
        yield "arm ids or arm numbers are there without the other"
    elif row.candidates is not None and row.candidate_nos is not None:
        if len(row.candidates) != len(row.candidate_nos):
            yield f"{len(row.candidates)} arm ids beside {len(row.candidate_nos)} arm numbers"
        if min(row.candidate_nos, default=0) < 0:
            yield "an arm number is negative"
            return
        found = f"{hash_of(pack_arms(row.candidate_nos)) % 2**64:016x}"
        if found != row.candidates_hash:
            yield f"candidates_hash is {row.candidates_hash}, that of the arm numbers {found}"


def _arm(row: LogRow) -> Iterator[str]:
    if row.candidates is None or row.candidate_nos is None:
        return
    if (row.arm_no, row.arm_id) not in zip(row.candidate_nos, row.candidates, strict=False):
        yield f"{row.arm_id!r}, number {row.arm_no}, is not among the candidates"


def _window(row: LogRow) -> Iterator[str]:
    if row.window_hours is None:
        yield f"version {row.config_no} is not in the ledger, so that its window and floor are unknown"
        return
    closes_at = row.decided_at + timedelta(hours=row.window_hours)
    for kind, came in row.rewards.items():
        if came.first_at is not None and came.first_at < row.decided_at - SKEW:
            yield f"{kind} occurred at {came.first_at}, before its decision"
        if came.last_at is not None and came.last_at > closes_at:
            yield f"{kind} occurred at {came.last_at}, and the window closed at {closes_at}"
        if came.received_at is not None and came.received_at > closes_at + GRACE:
            yield f"{kind} arrived at {came.received_at}, after window and grace"


_CHECKS: Sequence[tuple[str, Callable[[LogRow], Iterator[str]]]] = (
    ("propensity", _propensity),
    ("floor", _floor),
    ("candidates", _candidates),
    ("arm", _arm),
    ("window", _window),
)
