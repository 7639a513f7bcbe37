"""A bandit log in any CSV or Parquet file, by a map from our columns to the file's.

Needed are action, propensity and reward. Known besides: user, context and policy (any text), slot, version, target (the
probability of the action under a policy to evaluate), time (ISO 8601 with its zone, or unix seconds; Parquet's own
timestamps are UTC where they have no zone), candidates and probabilities (lists; in CSV separated by |). All rows have
all the columns that are mapped.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pullarm.domain.errors import invalid
from replay.errors import DatasetError
from replay.log import Candidates, LogBatch, LogHead, Offered, batch
from replay.readers.columns import Rows, csv_rows, parquet_rows
from replay.readers.faults import OutOfOrder, refuse_faults
from replay.readers.labels import Places, hashed_column
from replay.sources import SourceFile, source_file

if TYPE_CHECKING:
    import pyarrow as pa

NEEDED = ("action", "propensity", "reward")
KNOWN = (
    *NEEDED,
    *(
        "user",
        "context",
        "policy",
        "slot",
        "version",
        "target",
        "time",
        "candidates",
        "probabilities",
    ),
)
_BETWEEN = "|"


class TableReader:
    """Reads one file whose rows are slots of decisions, in order."""

    def __init__(
        self, file: Path, columns: Mapping[str, str], *, csv: bool, every_arm: bool = False
    ) -> None:
        """`columns` names the file's column for each of ours; `every_arm` says that each row could choose any arm.

        Raises InvalidInput where a column is none of ours, is missing, or two say different things of candidates.
        """
        self._columns = _checked(columns, every_arm=every_arm)
        self._file, self._csv = file, csv
        listed: Offered = "listed" if "candidates" in columns else "unknown"
        self._offered: Offered = "every" if every_arm else listed
        self._arms, self._policies = Places(), Places()
        self._order = OutOfOrder()
        self._rows = 0
        self._sources: tuple[SourceFile, ...] = ()

    @property
    def head(self) -> LogHead:
        return LogHead(
            name=self._file.stem,
            arms=self._arms.names,
            policies=self._policies.names or ("logged",),
            rows=self._rows,
            offered=self._offered,
            users_known="user" in self._columns,
            sources=self._sources,
            counts={"rows": self._rows, "out_of_order": self._order.rows},
        )

    def batches(self) -> Iterator[LogBatch]:
        self._sources = (source_file(self._file),)
        types = _types(csv=self._csv)
        wanted = {self._columns[ours]: types[ours] for ours in self._columns}
        read: Callable[..., Iterator[Rows]] = csv_rows if self._csv else parquet_rows
        for rows in read(self._file, wanted):
            made = self._batch(rows)
            self._rows += len(made)
            yield made

    def _batch(self, rows: Rows) -> LogBatch:
        ours = {name: rows.columns[column] for name, column in self._columns.items()}
        values: dict[str, Any] = {"action": self._arms.of(ours.pop("action"))}
        for name in ("user", "context"):
            if name in ours:
                values[name] = hashed_column([ours.pop(name)])
        if "policy" in ours:
            values["policy"] = self._policies.of(ours.pop("policy"))
        if "time" in ours:
            values["time_us"] = self._times(ours.pop("time"), rows)
        if "candidates" in ours:
            probabilities = ours.pop("probabilities", None)
            values["candidates"] = self._candidates(ours.pop("candidates"), probabilities, rows)
        made = batch(first_row=rows.first - 1, **values, **ours)
        refuse_faults(made, lambda index: self._place(rows, index))
        self._order.count(made)
        return made

    def _place(self, rows: Rows, index: int) -> str:
        unit, heads = ("line", 1) if self._csv else ("row", 0)
        return f"{self._file}, {unit} {rows.first + index + heads}"

    def _times(self, column: "pa.Array", rows: Rows) -> NDArray[np.int64]:
        import pyarrow as pa
        import pyarrow.compute as pc

        try:
            if pa.types.is_string(column.type):
                numeric = pc.all(pc.match_substring_regex(column, r"^[0-9.]+$")).as_py()
                column = column.cast(pa.float64() if numeric else pa.timestamp("us", "UTC"))
            if pa.types.is_timestamp(column.type):
                return _int64(column.cast(pa.timestamp("us", column.type.tz), safe=False))
            seconds = column.cast(pa.float64()).to_numpy()
        except ValueError as error:  # pyarrow's are ValueErrors
            first, last = self._place(rows, 0), self._place(rows, len(column) - 1)
            raise DatasetError(
                f"{first} to {last}: expected times as 2026-08-01T12:00:00Z or unix seconds: {error}"
            ) from error
        if not (abs(seconds) < 1e11).all():  # some three thousand years
            raise DatasetError(f"{self._place(rows, 0)}: expected unix seconds, found {seconds[0]}")
        micros: NDArray[np.int64] = np.rint(seconds * 1e6).astype(np.int64)
        return micros

    def _candidates(
        self, lists: "pa.Array", probabilities: "pa.Array | None", rows: Rows
    ) -> Candidates:
        import pyarrow as pa
        import pyarrow.compute as pc

        if self._csv:
            lists = pc.split_pattern(lists, _BETWEEN)
        start = _starts(lists)
        shares = None
        if probabilities is not None:
            if self._csv:
                probabilities = pc.split_pattern(probabilities, _BETWEEN)
            differs = np.diff(start) != np.diff(_starts(probabilities))
            if differs.any():
                place = self._place(rows, int(np.argmax(differs)))
                raise DatasetError(f"{place}: expected as many probabilities as candidates")
            try:
                shares = probabilities.flatten().cast(pa.float64()).to_numpy()
            except ValueError as error:  # pyarrow's are ValueErrors
                raise DatasetError(f"{self._file}: probabilities: {error}") from error
        return Candidates(start=start, arm=self._arms.of(lists.flatten()), probability=shares)


def _checked(columns: Mapping[str, str], *, every_arm: bool) -> Mapping[str, str]:
    for name in columns:
        if name not in KNOWN:
            raise invalid("--column", f"{name} is none of {', '.join(KNOWN)}")
    columns = {name: name for name in NEEDED} | dict(columns)
    if "probabilities" in columns and "candidates" not in columns:
        raise invalid("--column", "probabilities are of candidates: map candidates too")
    if every_arm and "candidates" in columns:
        raise invalid("--every-arm", "contradicts a column of candidates; give one of them")
    return columns


def _types(*, csv: bool) -> "dict[str, pa.DataType | None]":
    """What columns are read as; None for what is looked at later."""
    import pyarrow as pa

    lists = pa.string() if csv else pa.list_(pa.string())
    shares = pa.string() if csv else pa.list_(pa.float64())
    return {
        **dict.fromkeys(("action", "user", "context", "policy"), pa.string()),
        **dict.fromkeys(("propensity", "reward", "target"), pa.float64()),
        **dict.fromkeys(("slot", "version"), pa.int64()),
        "time": pa.string() if csv else None,
        "candidates": lists,
        "probabilities": shares,
    }


def _int64(column: "pa.Array") -> NDArray[np.int64]:
    import pyarrow as pa

    values: NDArray[np.int64] = column.cast(pa.int64()).to_numpy()
    return values


def _starts(lists: "pa.Array") -> NDArray[np.int64]:
    offsets = lists.offsets.to_numpy().astype(np.int64)
    starts: NDArray[np.int64] = offsets - offsets[0]
    return starts
