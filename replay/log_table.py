"""Loaded bandit logs as one Parquet file, log.parquet, a row for each slot of a decision.

user             int64            a number for each user, or for each row where users are not known
action           int32            the chosen arm's place in `arms`
propensity       float64          of `action` under the policy that chose, > 0 and <= 1
reward           float64          finite
slot             int32            from 1
policy           int32            the place in `policies` of the one that chose
version          int64            number of the posterior that was drawn from, 0 if not known
context          int64            a number for each distinct set of shared features, 0 for none
time_us          int64            unix microseconds; only where times are known
target           float64          0 to 1, of `action` under a policy to evaluate; only where the source has it
candidates       list<int32>      places in `arms`, in the caller's order; only where rows list them
probabilities    list<float64>    of the candidates, under the logging policy; only where the source has them

The metadata has under the key `pullarm` a JSON object: kind "bandit log", format 1, name, counts (what the sources
hold, what was left out), the sources with sizes and SHA-256, and in `details` arms, policies, rows, offered and
users_known, as `LogHead` has them. Every page has a checksum, so that damage is noticed when it is read.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.errors import DatasetError
from replay.log import BanditLog, Candidates, LogBatch, LogHead
from replay.parquet import Head, appearing, encoded, opened

if TYPE_CHECKING:
    import pyarrow as pa

LOG = "log.parquet"
BATCH_ROWS = 1 << 16
PART_ROWS = 1 << 17
_KIND = "bandit log"
_ALWAYS = ("user", "action", "propensity", "reward", "slot", "policy", "version", "context")
_PERHAPS = ("time_us", "target")


class LogSource(Protocol):
    """What can be written: a BanditLog, or a reader of somebody's format."""

    @property
    def head(self) -> LogHead:
        """Known at the latest when the batches have been gone through."""

    def batches(self) -> Iterator[LogBatch]:
        """Every row, in order; all batches know the same columns."""


def write_log(folder: Path, log: LogSource, batches: Iterable[LogBatch] | None = None) -> LogHead:
    """Write a log into the folder; `batches`, if given, are the log's own, on their way through somebody's hands.

    Raises:
        DatasetError: the log cannot be read or has no rows, or the file cannot be written.
        ValueError: batches that do not know the same columns.
    """
    from pyarrow.parquet import ParquetWriter

    written = 0
    with appearing(folder / LOG) as partial:
        writer: ParquetWriter | None = None
        try:
            for batch in log.batches() if batches is None else batches:
                table = _table(batch)
                if writer is None:
                    writer = ParquetWriter(
                        partial, table.schema, compression="zstd", write_page_checksum=True
                    )
                writer.write_table(table)
                written += len(batch)
            head = log.head
            if writer is None:
                raise DatasetError(
                    f"{head.name} has no row that an estimate could use: {dict(head.counts)}"
                )
            if written != head.rows:
                raise ValueError(f"{written} rows were written where the head says {head.rows}")
            writer.add_key_value_metadata(encoded(_described(head)))
        finally:
            if writer is not None:
                writer.close()
    return head


def open_log(path: Path) -> BanditLog:
    """A log that `write_log` wrote, named by its folder or file; its batches hold `BATCH_ROWS` rows or fewer.

    Its parts are row groups that together have `PART_ROWS` rows or more.

    Raises DatasetError, here or while it is read, naming the file that is missing, damaged or something else.
    """
    file = path / LOG if path.is_dir() else path
    with opened(file, _KIND, _ALWAYS) as (said, parquet):
        head = _understood(said)
        told = parquet.metadata
        rows = [told.row_group(group).num_rows for group in range(told.num_row_groups)]
    return BanditLog(head, [partial(_batches, file, head, groups) for groups in _parts(rows)])


def _described(head: LogHead) -> Head:
    details = {
        "arms": head.arms,
        "policies": head.policies,
        "rows": head.rows,
        "offered": head.offered,
        "users_known": head.users_known,
    }
    return Head(
        kind=_KIND, name=head.name, counts=head.counts, sources=head.sources, details=details
    )


def _understood(said: Head) -> LogHead:
    own = {"name": said.name, "counts": said.counts, "sources": said.sources}
    return msgspec.convert(own | dict(said.details), LogHead)


def _table(batch: LogBatch) -> "pa.Table":
    import pyarrow as pa

    columns: dict[str, Any] = {name: getattr(batch, name) for name in _ALWAYS}
    columns |= {name: getattr(batch, name) for name in _PERHAPS if getattr(batch, name) is not None}
    listed = batch.candidates
    if listed is not None:
        start = listed.start.astype(np.int32)
        columns["candidates"] = pa.ListArray.from_arrays(start, pa.array(listed.arm))
        if listed.probability is not None:
            columns["probabilities"] = pa.ListArray.from_arrays(start, pa.array(listed.probability))
    return pa.table(columns)


def _parts(rows: Sequence[int]) -> Iterator[list[int]]:
    """Row groups of so many rows each, put together."""
    part: list[int] = []
    held = 0
    for group, count in enumerate(rows):
        part.append(group)
        held += count
        if held >= PART_ROWS:
            yield part
            part, held = [], 0
    if part:
        yield part


def _batches(file: Path, head: LogHead, groups: Sequence[int]) -> Iterator[LogBatch]:
    with opened(file, _KIND, _ALWAYS) as (_, parquet):
        for batch in parquet.iter_batches(batch_size=BATCH_ROWS, row_groups=groups):
            columns = {name: batch[name].to_numpy() for name in _ALWAYS}
            columns |= {
                name: batch[name].to_numpy() for name in _PERHAPS if name in batch.schema.names
            }
            listed = _candidates(batch) if head.offered == "listed" else None
            yield LogBatch(**columns, candidates=listed)


def _candidates(batch: "pa.RecordBatch") -> Candidates:
    lists = batch["candidates"]
    start: NDArray[np.int64] = lists.offsets.to_numpy().astype(np.int64)
    probability = None
    if "probabilities" in batch.schema.names:
        probability = batch["probabilities"].flatten().to_numpy()
    return Candidates(
        start=start - start[0], arm=lists.flatten().to_numpy(), probability=probability
    )
