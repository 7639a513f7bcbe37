"""Vowpal Wabbit's contextual-bandit JSON: one decision a line, as its `--json` or `--dsjson` reads them.

dsjson has the context under `c`, the actions' numbers in the order of their probabilities under `a`, those under `p`,
and a `Timestamp`; plain JSON has the context's features beside `_multi`, and no probabilities but the chosen one's. In
both `_labelIndex` is the chosen action's place in `_multi`, and the reward is minus the cost.

An arm is an action's `_tag`, or else all of its features: the same features are the same arm. Lines that are no
decision (rewards whose decision was not found, and decisions without a label) are left out and counted.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from replay.errors import DatasetError
from replay.log import Candidates, LogBatch, LogHead, batch
from replay.readers.faults import OutOfOrder, refuse_faults
from replay.readers.labels import Places, hashed
from replay.sources import SourceFile, source_file, unreadable

_BATCH_ROWS = 1 << 14


class _Chosen(msgspec.Struct):
    """One line, read."""

    line: int
    context: int
    arms: Sequence[str]
    action: str
    propensity: float
    reward: float
    time_us: int | None
    probabilities: Sequence[float] | None


class VwReader:
    """Reads one file of JSON lines."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._arms = Places()
        self._order = OutOfOrder()
        self._counts: Counter[str] = Counter()
        self._dropped: float | None = None
        self._sources: tuple[SourceFile, ...] = ()

    @property
    def head(self) -> LogHead:
        return LogHead(
            name=self._file.stem,
            arms=self._arms.names,
            policies=("logged",),
            rows=self._counts["used"],
            offered="listed",
            users_known=False,
            sources=self._sources,
            counts={name: self._counts[name] for name in ("lines", "no_context", "no_label")}
            | {"out_of_order": self._order.rows},
        )

    def batches(self) -> Iterator[LogBatch]:
        self._sources = (source_file(self._file),)
        chosen = self._chosen()
        known: tuple[bool, bool] | None = None
        while rows := list(islice(chosen, _BATCH_ROWS)):
            known = known or (rows[0].time_us is not None, rows[0].probabilities is not None)
            for row in rows:
                if (row.time_us is not None, row.probabilities is not None) != known:
                    raise self._fault(row.line, "has not the same fields as the lines before it")
            yield self._batch(rows, *known)

    def _batch(self, rows: Sequence[_Chosen], timed: bool, shared: bool) -> LogBatch:
        shares = [share for row in rows for share in row.probabilities or ()]
        arm = [self._arms[each] for row in rows for each in row.arms]
        made = batch(
            first_row=self._counts["used"],
            action=[self._arms[row.action] for row in rows],
            propensity=[row.propensity for row in rows],
            reward=[row.reward for row in rows],
            context=[row.context for row in rows],
            time_us=[row.time_us for row in rows] if timed else None,
            candidates=Candidates(
                start=np.cumsum([0, *(len(row.arms) for row in rows)]),
                arm=np.array(arm, dtype=np.int32),
                probability=np.array(shares, dtype=np.float64) if shared else None,
            ),
        )
        refuse_faults(made, lambda index: f"{self._file}, line {rows[index].line}")
        self._order.count(made)
        self._counts["used"] += len(rows)
        return made

    def _chosen(self) -> Iterator[_Chosen]:
        decoder = msgspec.json.Decoder(dict[str, Any])
        try:
            with self._file.open("rb") as stream:
                for number, line in enumerate(stream, start=1):
                    if not line.strip():
                        continue
                    if not line.endswith(b"\n"):
                        raise self._fault(
                            number, "has no line end, so the file looks cut off: copy it again"
                        )
                    self._counts["lines"] += 1
                    try:
                        read = self._read(number, decoder.decode(line))
                    except (
                        ValueError,
                        TypeError,
                        KeyError,
                        IndexError,
                    ) as error:  # msgspec's are ValueErrors
                        raise self._fault(
                            number, f"is no decision of a contextual bandit: {error!r}"
                        ) from error
                    if read is not None:
                        yield read
        except OSError as error:
            raise unreadable(self._file, error) from error

    def _fault(self, line: int, problem: str) -> DatasetError:
        return DatasetError(f"{self._file}, line {line}: {problem}")

    def _read(self, line: int, said: Mapping[str, Any]) -> _Chosen | None:
        shared = said.get("c", said)
        if "_multi" not in shared:
            self._counts["no_context"] += 1
            return None
        label = {name.lower(): value for name, value in said.items() if name.startswith("_label")}
        if "_label_cost" not in label:
            self._counts["no_label"] += 1
            return None
        self._same_share(line, float(said.get("pdrop", 0)))
        arms = [_arm(action) for action in shared["_multi"]]
        place = int(label["_labelindex"])
        if not 0 <= place < len(arms):
            raise ValueError(f"_labelIndex {place} of {len(arms)} actions")
        at = said.get("Timestamp")
        features = {k: v for k, v in shared.items() if k != "_multi" and not k.startswith("_label")}
        return _Chosen(
            line=line,
            context=hashed(_text(features)) if features else 0,
            arms=arms,
            action=arms[place],
            propensity=float(label["_label_probability"]),
            reward=0.0 - float(label["_label_cost"]),
            time_us=None if at is None else _micros(at),
            probabilities=_by_place(said["a"], said["p"], len(arms)) if "p" in said else None,
        )

    def _same_share(self, line: int, dropped: float) -> None:
        """Lines dropped at random, all alike, bias nothing; unlike shares would, without weights we do not have."""
        if self._dropped is None:
            self._dropped = dropped
        if dropped != self._dropped:
            raise self._fault(
                line,
                f"pdrop is {dropped}, before it was {self._dropped}: load such stretches apart",
            )


def _arm(action: Mapping[str, Any]) -> str:
    tag = action.get("_tag")
    return tag if isinstance(tag, str) else _text(action)


def _text(features: Mapping[str, Any]) -> str:
    return msgspec.json.encode(features, order="deterministic").decode()


def _micros(at: str) -> int:
    moment = msgspec.convert(at, datetime)
    if moment.tzinfo is None:
        raise ValueError(f"Timestamp {at} has no zone")
    return round(moment.timestamp() * 1_000_000)


def _by_place(numbers: Sequence[int], shares: Sequence[float], count: int) -> list[float]:
    """The probabilities in the order of the actions; `numbers` are their places, from 1."""
    if sorted(numbers) != list(range(1, count + 1)) or len(shares) != count:
        raise ValueError(f"a and p must name each of the {count} actions once")
    placed = [0.0] * count
    for number, share in zip(numbers, shares, strict=True):
        placed[number - 1] = float(share)
    return placed
