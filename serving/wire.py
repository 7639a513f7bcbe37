"""Requests as they are on the wire: what compiled code reads of them, without a message or a string for each candidate.

A request is plain if nothing in it calls for a second look: known arms, each once, printable ASCII, every field within
its limits. Nearly all are. What is not plain is parsed and checked by `requests`, with the same result.
"""

import numpy as np
from numpy.typing import NDArray

from pullarm.domain.decision import ARM_BYTES
from pullarm.policies.compile import kernel, request_kernel

MAX_ID_BYTES = 128
MAX_CANDIDATES = 1_000
MAX_SLOTS = 100
MAX_ATTRIBUTES = 32

Bytes = NDArray[np.uint8]
Rows = NDArray[np.int64]
Numbers = NDArray[np.uint32]
Marks = NDArray[np.uint64]
Bounds = NDArray[np.int64]
"""(n, 2): where each of n texts starts and ends."""
Index = tuple[NDArray[np.int32], Bytes, Rows]
"""Of arms: a table by hash (see `hashed`), all names in a row, and where each ends."""
Findings = tuple[NDArray[np.int64], Rows, Numbers]
"""(n, FOUND) of n requests, what all of their candidates are, in a row: arms' rows, and the numbers of these."""

# The fields of SelectRequest as the wire has them: number << 3 | type, with a length (2) or a varint (0).
_EXPERIMENT, _USER, _CANDIDATE, _SLOTS = 0x0A, 0x12, 0x1A, 0x20
_ATTRIBUTE, _REQUEST_ID = 0x2A, 0x32
_NAME, _VALUE, _LEAST = 0x0A, 0x12, 4  # of an attribute, and the bytes of one without any text
_REQUESTS = 0x0A  # of a batch, either kind
_TWO_BYTE_VARINT = 0x80

# What is found of a request: where user and request id start and end, slots, where its rows end, how many attributes it
# has, and where name and value of each start and end.
_SLOTS_FOUND, ROWS_END, _COUNT, ATTRIBUTES = 4, 5, 6, 7
FOUND = ATTRIBUTES + 4 * MAX_ATTRIBUTES
NUMBER = np.dtype(f"<u{ARM_BYTES}")
LEAST_CANDIDATE = 2
"""Bytes that one takes on the wire."""
_LONGEST_SHIFT = 28  # a length has at most five bytes

# FNV-1a, 64 bits (Fowler, Noll and Vo).
_BASIS = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_HALF, _ONE = np.uint64(32), np.uint64(1)


@kernel
def _hash(text: Bytes | bytes, start: int, end: int) -> np.uint64:
    value = _BASIS
    for at in range(start, end):
        value = (value ^ np.uint64(text[at])) * _PRIME
    return value ^ (value >> _HALF)


@request_kernel
def hashed(names: Bytes, ends: Rows, rows: Rows) -> NDArray[np.int32]:
    """A table of row + 1 by hash for `rows`, 0 where nothing is; collisions are in the places behind."""
    size = 4
    while size < 2 * len(rows):
        size *= 2
    table = np.zeros(size, dtype=np.int32)
    mask = np.uint64(size - 1)
    for row in rows:
        start = ends[row - 1] if row > 0 else 0
        place = _hash(names, start, ends[row]) & mask
        while table[place] != 0:
            place = (place + _ONE) & mask
        table[place] = row + 1
    return table


@kernel
def _row(request: bytes, start: int, end: int, index: Index) -> int:
    """The arm that request[start:end] names, or -1."""
    table, names, ends = index
    mask = np.uint64(len(table) - 1)
    place = _hash(request, start, end) & mask
    while table[place] != 0:
        row = np.int64(table[place]) - 1
        first = ends[row - 1] if row > 0 else 0
        if ends[row] - first == end - start:
            at = start
            while at < end and request[at] == names[first + at - start]:
                at += 1
            if at == end:
                return int(row)
        place = (place + _ONE) & mask
    return -1


@kernel
def _printable(request: bytes, start: int, end: int) -> bool:
    for at in range(start, end):
        if request[at] < 0x20 or request[at] > 0x7E:
            return False
    return end > start


@kernel
def _new(seen: Marks, row: int) -> bool:
    """Whether a row was not seen before; now it was."""
    mark = _ONE << np.uint64(row & 63)
    new = (seen[row >> 6] & mark) == 0
    seen[row >> 6] |= mark
    return bool(new)


@kernel
def _next(request: bytes, at: int, end: int) -> tuple[int, int, int]:
    """The field that is there, and where its value starts and ends; 0 where that cannot be plain."""
    if at + 1 >= end or request[at + 1] >= _TWO_BYTE_VARINT:
        return 0, 0, 0
    field = int(request[at])
    if field == _SLOTS:
        return field, at + 1, at + 2
    last = at + 2 + int(request[at + 1])
    if last > end:
        return 0, 0, 0
    return field, at + 2, last


@kernel
def _read_attribute(request: bytes, start: int, end: int, found: Rows, count: int) -> bool:
    """Note where name and value of the attribute in request[start:end] start and end, behind those of `count` others.

    False where they are not plain: both are there, in this order; the value may be empty.
    """
    if count >= MAX_ATTRIBUTES or end - start < _LEAST or request[start] != _NAME:
        return False
    name_end = start + 2 + int(request[start + 1])
    value = name_end + 2
    if value > end or request[name_end] != _VALUE or value + int(request[name_end + 1]) != end:
        return False
    at = ATTRIBUTES + 4 * count
    found[at], found[at + 1], found[at + 2], found[at + 3] = start + 2, name_end, value, end
    return _printable(request, start + 2, name_end) and (
        value == end or _printable(request, value, end)
    )


@kernel
def _scan(
    data: bytes, at: int, end: int, index: Index, findings: Findings, place: int, seen: Marks
) -> bool:
    """Read the request whose rest behind its experiment is data[at:end], the findings' `place`th; False if not plain.

    Of a field that comes twice the last counts, as protobuf has it.
    """
    found, rows, numbers = findings[0][place], findings[1], findings[2]
    first = findings[0][place - 1, ROWS_END] if place > 0 else 0
    found[:ATTRIBUTES] = 0
    last = first
    while at < end:
        field, start, at = _next(data, at, end)
        if field == _CANDIDATE:
            row = _row(data, start, at, index)
            if row < 0 or last - first >= MAX_CANDIDATES or not _new(seen, row):
                return False
            rows[last], numbers[last] = row, row + 1
            last += 1
        elif field == _SLOTS:
            found[_SLOTS_FOUND] = int(data[start])
        elif field == _ATTRIBUTE:
            if not _read_attribute(data, start, at, found, found[_COUNT]):
                return False
            found[_COUNT] += 1
        elif field in (_USER, _REQUEST_ID) and _printable(data, start, at):
            kind = 0 if field == _USER else 2
            found[kind], found[kind + 1] = start, at
        else:
            return False
    found[ROWS_END] = last
    for candidate in range(first, last):
        seen[rows[candidate] >> 6] = 0
    return bool(found[0] != found[1] and found[_SLOTS_FOUND] <= MAX_SLOTS)


@request_kernel
def scan(data: bytes, bounds: Bounds, named: int, index: Index, findings: Findings) -> int:
    """Read requests that start and end at `bounds` until one is not plain, or is of another experiment than the first,
    which the first `named` bytes of that say. Returns how many were read.
    """
    seen = np.zeros((len(index[2]) + 63) >> 6, dtype=np.uint64)
    first = bounds[0, 0]
    for place in range(len(bounds)):
        start, end = bounds[place, 0], bounds[place, 1]
        if end - start < named:
            return place
        for at in range(named):
            if data[start + at] != data[first + at]:
                return place
        if not _scan(data, start + named, end, index, findings, place, seen):
            return place
    return len(bounds)


@request_kernel
def _split(batch: bytes, bounds: Bounds) -> int:
    """Where the values of field 1 start and end, as many as there is room for; -1 where there is anything else."""
    count = end = 0
    while end < len(batch) and count < len(bounds):
        if batch[end] != _REQUESTS:
            return -1
        start, size, shift, more = end + 1, 0, 0, True
        while more:
            if start >= len(batch) or shift > _LONGEST_SHIFT:
                return -1
            byte = int(batch[start])
            size |= (byte & 0x7F) << shift
            more = byte >= _TWO_BYTE_VARINT
            start, shift = start + 1, shift + 7
        end = start + size
        bounds[count, 0], bounds[count, 1] = start, end
        count += 1
    return count if end <= len(batch) else -1


def split_batch(batch: bytes, most: int) -> Bounds | None:
    """Where in a batch its requests start and end, (n, 2), of `most` at most; None where there is anything else."""
    bounds = np.empty((most, 2), np.int64)
    count = _split(batch, bounds)
    return None if count < 0 else bounds[:count]


def reference(data: bytes, at: int = 0) -> bytes:
    """What the request that starts there calls its experiment, where that comes first and is short; else something that
    names none.
    """
    if len(data) < at + 2 or data[at] != _EXPERIMENT or data[at + 1] >= _TWO_BYTE_VARINT:
        return b""
    return data[at + 2 : at + 2 + data[at + 1]]
