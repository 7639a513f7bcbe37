"""A stretch of a log in the pieces that are evaluated one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.log import Candidates, LogBatch, LogHead

_FIRST = 16


def blocks(
    batches: Iterable[LogBatch], head: LogHead, policies: frozenset[str]
) -> Iterator[tuple[LogBatch, Candidates | None]]:
    """The rows of batches that these policies chose, in order, with what they chose from, if that is known.

    A block has no more rows than came before it, or 16, so that a model that learns block by block is never far behind.
    """
    places = [place for place, name in enumerate(head.policies) if name in policies]
    every = np.arange(len(head.arms), dtype=np.int32)
    seen = 0
    for whole in batches:
        batch = taken(whole, np.isin(whole.policy, places))
        start = 0
        while start < len(batch):
            end = min(len(batch), start + max(_FIRST, seen))
            block = _cut(batch, start, end)
            seen += len(block)
            start = end
            candidates = block.candidates
            if head.offered == "every":
                candidates = _all(every, len(block))
            yield block, candidates


def taken(batch: LogBatch, rows: NDArray[np.bool_]) -> LogBatch:
    """The rows of a batch where `rows`, (n,), is true."""
    listed = batch.candidates
    if rows.all():
        return batch
    if listed is not None:
        flat = np.repeat(rows, listed.size)
        listed = Candidates(
            start=np.concatenate(([0], np.cumsum(listed.size[rows]))),
            arm=listed.arm[flat],
            probability=None if listed.probability is None else listed.probability[flat],
        )
    return replace(batch, candidates=listed, **_columns(batch, rows))


def _cut(batch: LogBatch, start: int, end: int) -> LogBatch:
    listed = batch.candidates
    if listed is not None:
        first, last = listed.start[start], listed.start[end]
        listed = Candidates(
            start=listed.start[start : end + 1] - first,
            arm=listed.arm[first:last],
            probability=None if listed.probability is None else listed.probability[first:last],
        )
    return replace(batch, candidates=listed, **_columns(batch, slice(start, end)))


def _columns(batch: LogBatch, rows: NDArray[np.bool_] | slice) -> dict[str, Any]:
    columns = {each.name: getattr(batch, each.name) for each in fields(batch)}
    del columns["candidates"]
    return {name: None if column is None else column[rows] for name, column in columns.items()}


def _all(every: NDArray[np.int32], rows: int) -> Candidates:
    start = np.arange(rows + 1, dtype=np.int64) * len(every)
    return Candidates(start=start, arm=np.tile(every, rows))
