"""Our own export (`pullarm export`) as a bandit log: the rewards of one kind, the rows that an estimate can use.

Left out, and counted: rows without a policy or without an arm (control stood in), decisions that were voided, and those
that a rebuild excluded. Candidates are the known arms, of a later slot those that are left. Where a row has only the
hash of its candidates, nobody knows those of the log. A reward that has not come yet is 0, so export decisions whose
window has closed (`--until`).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from pullarm.domain.errors import invalid
from pullarm.domain.log_row import LogRow
from replay.log import Candidates, LogBatch, LogHead, batch
from replay.log_file import read_log
from replay.readers.faults import OutOfOrder, refuse_faults
from replay.readers.labels import Places, hashed
from replay.sources import SourceFile, source_file

_BATCH_ROWS = 1 << 14
_LEFT_OUT = ("no_policy", "no_arm", "voided", "excluded")


class ExportReader:
    """Reads a log that `pullarm export` wrote, as parquet, csv or jsonl."""

    def __init__(self, file: Path, kind: str | None = None) -> None:
        """`kind` is the kind of reward; needed where the log has several."""
        self._file, self._kind = file, kind
        self._kinds: set[str] = set()
        self._arms, self._policies = Places(), Places()
        self._order = OutOfOrder()
        self._counts: Counter[str] = Counter()
        self._hashes_only = False
        self._taken: tuple[str, set[str]] = ("", set())
        self._sources: tuple[SourceFile, ...] = ()

    @property
    def head(self) -> LogHead:
        return LogHead(
            name=self._file.stem,
            arms=self._arms.names,
            policies=self._policies.names,
            rows=self._counts["used"],
            offered="unknown" if self._hashes_only else "listed",
            users_known=True,
            sources=self._sources,
            counts={name: self._counts[name] for name in ("rows", "rewarded", *_LEFT_OUT)}
            | {"out_of_order": self._order.rows},
        )

    def batches(self) -> Iterator[LogBatch]:
        self._sources = (source_file(self._file),)
        used = self._used(read_log(self._file))
        while rows := list(islice(used, _BATCH_ROWS)):
            yield self._batch(rows)
        if self._kind is not None and self._kinds and self._kind not in self._kinds:
            kinds = ", ".join(sorted(self._kinds))
            raise invalid("--kind", f"{self._file} has no reward of {self._kind!r}, but of {kinds}")

    def _used(self, rows: Iterator[LogRow]) -> Iterator[tuple[int, LogRow, Sequence[str]]]:
        """The rows that can be used with their numbers, and the arms they could choose from."""
        for number, row in enumerate(rows, start=1):
            self._counts["rows"] += 1
            uid, taken = self._taken
            if uid != row.decision_uid:
                taken = set()
                self._taken = row.decision_uid, taken
            reason = _left_out(row)
            if reason is not None or row.arm_id is None:
                self._counts[reason or "no_arm"] += 1
                continue
            known = dict.fromkeys(each for each in row.candidates or () if each is not None)
            self._hashes_only |= row.candidates is None
            left = [each for each in known if each not in taken]
            taken.add(row.arm_id)
            self._counts["used"] += 1
            yield number, row, left

    def _batch(self, rows: Sequence[tuple[int, LogRow, Sequence[str]]]) -> LogBatch:
        reward = [self._reward(row) for _, row, _ in rows]
        self._counts["rewarded"] += sum(each > 0 for each in reward)
        start = np.cumsum([0, *(len(left) for _, _, left in rows)])
        arm = [self._arms[each] for _, _, left in rows for each in left]
        made = batch(
            action=[self._arms[str(row.arm_id)] for _, row, _ in rows],
            propensity=[row.propensity for _, row, _ in rows],
            reward=reward,
            user=[hashed(row.unit) for _, row, _ in rows],
            slot=[row.slot for _, row, _ in rows],
            policy=[self._policies[row.acting] for _, row, _ in rows],
            version=[row.pub_no for _, row, _ in rows],
            time_us=[round(row.decided_at.timestamp() * 1_000) * 1_000 for _, row, _ in rows],
            candidates=Candidates(start=start, arm=np.array(arm, dtype=np.int32)),
        )
        refuse_faults(made, lambda index: f"{self._file}, row {rows[index][0]}")
        self._order.count(made)
        return made

    def _reward(self, row: LogRow) -> float:
        self._kinds |= row.rewards.keys()
        if self._kind is None and len(self._kinds) > 1:
            kinds = ", ".join(sorted(self._kinds))
            raise invalid("--kind", f"is needed: {self._file} has rewards of the kinds {kinds}")
        kind = self._kind or next(iter(self._kinds), "")
        came = row.rewards.get(kind)
        return 0.0 if came is None else came.credit


def _left_out(row: LogRow) -> str | None:
    if row.voided:
        return "voided"
    if row.excluded:
        return "excluded"
    if row.acting == "none":
        return "no_policy"
    return "no_arm" if row.arm_id is None else None
