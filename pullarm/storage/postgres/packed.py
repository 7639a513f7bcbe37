"""Columns that PostgreSQL packs into a value each: one message for thousands of rows, and no work on each of them.

A column of numbers comes as `array_send(array_agg(it))`, one of arrays as `string_agg(array_send(it), '')`; both are
PostgreSQL's binary form of arrays: five big-endian words (dimensions, nulls, element type, length, lower bound), then
each element after its length. One of text comes as its bytes, one after the other, with a column of their lengths.
"""

from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_HEAD_WORDS = 5
_TYPES = {
    16: np.dtype("?"),
    20: np.dtype(">i8"),
    21: np.dtype(">i2"),
    23: np.dtype(">i4"),
    1184: np.dtype(">i8"),  # a moment, see `moments`
    2950: np.dtype("S16"),  # uuid
}
"""By PostgreSQL's number of the type."""
_EPOCH_US = 946_684_800_000_000
"""Of PostgreSQL's moments, in Unix time."""
_NEVER = np.iinfo(np.int64).min
"""PostgreSQL's -infinity."""


def values(packed: bytes) -> NDArray[Any]:  # (n,), of the column's type
    """A column of numbers, truth values or uuids. Raises ValueError where one is null."""
    _, nulls, number, length, _ = np.frombuffer(packed, ">i4", _HEAD_WORDS)
    if nulls:
        raise ValueError("a packed column has nulls")
    kind = _TYPES[int(number)]
    element = np.dtype([("length", ">i4"), ("value", kind)])
    found = np.frombuffer(packed, element, int(length), 4 * _HEAD_WORDS)["value"]
    return found.astype(kind.newbyteorder("="))


def flattened(packed: bytes, counts: NDArray[np.int32]) -> NDArray[Any]:
    """All elements of a column of arrays, one after the other.

    Args:
        counts: of each row's array, at least 1.
    """
    words = np.frombuffer(packed, ">i4")
    kind = _TYPES[int(words[2])]
    width = kind.itemsize // 4
    lengths = _HEAD_WORDS + (width + 1) * counts.astype(np.int64)
    heads = np.cumsum(lengths) - lengths
    first = np.cumsum(counts) - counts
    within = np.arange(int(counts.sum())) - np.repeat(first, counts)
    places = np.repeat(heads, counts) + _HEAD_WORDS + (width + 1) * within + 1
    found: NDArray[Any] = words[places[:, np.newaxis] + np.arange(width)]
    return found.view(kind).ravel().astype(kind.newbyteorder("="))


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
