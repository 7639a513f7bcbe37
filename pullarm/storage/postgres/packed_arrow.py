"""Columns that PostgreSQL packs, as Arrow has them; text comes as its bytes, one after the other, and their lengths."""

from typing import cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_EPOCH_US = 946_684_800_000_000
"""Of PostgreSQL's moments, in Unix time."""
_NEVER = np.iinfo(np.int64).min
"""PostgreSQL's -infinity."""


def texts(packed: bytes, lengths: NDArray[np.int32], kind: pa.DataType) -> pa.Array:
    """A column of text or bytes."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(packed)]
    return pa.Array.from_buffers(kind, len(lengths), buffers)


def moments(since: NDArray[np.int64]) -> pa.Array:
    """Moments as microseconds, null for -infinity."""
    unix = pa.array(since + _EPOCH_US, mask=since == _NEVER)
    return unix.cast(pa.timestamp("us", tz="UTC"))


def hexes(uuids: NDArray[np.bytes_]) -> pa.StringArray:
    """32 hex digits of each."""
    lengths = np.full(len(uuids), 32, np.int32)
    return cast("pa.StringArray", texts(uuids.tobytes().hex().encode(), lengths, pa.string()))
