"""Columns that PostgreSQL packs into a value each: one message for thousands of rows, and no work on each of them.

A column of numbers comes as `array_send(array_agg(it))`, one of arrays as `string_agg(array_send(it), '')`; both are
PostgreSQL's binary form of arrays: five big-endian words (dimensions, nulls, element type, length, lower bound), then
each element after its length.
"""

from typing import Any

import numpy as np
from asyncpg import Record
from numpy.typing import NDArray

_HEAD_WORDS = 5
_TYPES = {
    16: np.dtype("?"),
    20: np.dtype(">i8"),
    21: np.dtype(">i2"),
    23: np.dtype(">i4"),
    701: np.dtype(">f8"),
    1184: np.dtype(">i8"),  # a moment, see `packed_arrow.moments`
    2950: np.dtype("S16"),  # uuid
}
"""By PostgreSQL's number of the type."""


def values(packed: bytes) -> NDArray[Any]:  # (n,), of the column's type
    """A column of numbers, truth values or uuids. Raises ValueError where one is null."""
    _, nulls, number, length, _ = np.frombuffer(packed, ">i4", _HEAD_WORDS)
    if nulls:
        raise ValueError("a packed column has nulls")
    kind = _TYPES[int(number)]
    element = np.dtype([("length", ">i4"), ("value", kind)])
    found = np.frombuffer(packed, element, int(length), 4 * _HEAD_WORDS)["value"]
    return found.astype(kind.newbyteorder("="))


def columns(packed: Record | None) -> dict[str, NDArray[Any]]:
    """The columns of the one row of an aggregate, by name; empty where it is of no rows, which are null."""
    assert packed is not None  # an aggregate has one row
    return {
        name: np.zeros(0, np.int64) if column is None else values(column)
        for name, column in packed.items()
    }


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
