"""What is asked of one selection, and the plain requests that compiled code reads straight off the wire.

A request is plain if nothing in it calls for a second look: known arms, each once, printable ASCII, every field within
its limits. Nearly all are. They need no message object and no string for each candidate, which would
cost several times the decision. What is not plain is parsed and checked by `requests`, with the same result.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pullarm.domain.decision import ARM_BYTES, UNLISTED
from pullarm.policies.compile import kernel, request_kernel

MAX_ID_BYTES = 128
MAX_CANDIDATES = 1_000
MAX_SLOTS = 100
MAX_ATTRIBUTES = 32

Bytes = NDArray[np.uint8]
Rows = NDArray[np.int64]
Numbers = NDArray[np.uint32]

# The fields of SelectRequest as the wire has them: number << 3 | type, with a length (2) or a varint (0).
_EXPERIMENT, _USER, _CANDIDATE, _SLOTS = 0x0A, 0x12, 0x1A, 0x20
_ATTRIBUTE, _REQUEST_ID = 0x2A, 0x32
_NAME, _VALUE, _LEAST = 0x0A, 0x12, 4  # of an attribute, and the bytes of one without any text
_TWO_BYTE_VARINT = 0x80

# What is found of a request: where user and request id start and end, then each attribute's name and value, then rows.
_ATTRIBUTES = 4
_ROWS = _ATTRIBUTES + 4 * MAX_ATTRIBUTES

# FNV-1a, 64 bits (Fowler, Noll and Vo).
_BASIS = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_HALF, _ONE = np.uint64(32), np.uint64(1)


class Query(NamedTuple):
    """One selection, checked."""

    user: str
    rows: Rows | None
    """The active arms among the candidates, distinct and in the caller's order; None: all of them are offered."""
    arms: bytes
    """The same as packed arm numbers; empty where every arm is offered."""
    names: Sequence[str] | None
    """All distinct candidates but those withheld, where not all are arms."""
    slots: int
    attributes: dict[str, str]
    request_id: str
    withheld: int = 0
    """How many candidates are left out because their arms are paused or retired."""


@kernel
def _hash(text: Bytes | bytes, start: int, end: int) -> np.uint64:
    value = _BASIS
    for at in range(start, end):
        value = (value ^ np.uint64(text[at])) * _PRIME
    return value ^ (value >> _HALF)


@request_kernel
def _hashed(names: Bytes, ends: Rows, rows: Rows) -> NDArray[np.int32]:
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
def _row(
    request: bytes, start: int, end: int, table: NDArray[np.int32], names: Bytes, ends: Rows
) -> int:
    """The arm that request[start:end] names, or -1."""
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
def _new(seen: NDArray[np.uint64], row: int) -> bool:
    """Whether a row was not seen before; now it was."""
    mark = _ONE << np.uint64(row & 63)
    new = (seen[row >> 6] & mark) == 0
    seen[row >> 6] |= mark
    return bool(new)


@kernel
def _next(request: bytes, at: int) -> tuple[int, int, int]:
    """The field that is there, and where its value starts and ends; 0 where that cannot be plain."""
    if at + 1 >= len(request) or request[at + 1] >= _TWO_BYTE_VARINT:
        return 0, 0, 0
    field = int(request[at])
    if field == _SLOTS:
        return field, at + 1, at + 2
    end = at + 2 + int(request[at + 1])
    if end > len(request):
        return 0, 0, 0
    return field, at + 2, end


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
    at = _ATTRIBUTES + 4 * count
    found[at], found[at + 1], found[at + 2], found[at + 3] = start + 2, name_end, value, end
    return _printable(request, start + 2, name_end) and (
        value == end or _printable(request, value, end)
    )


@request_kernel
def _scan(
    request: bytes,
    at: int,
    table: NDArray[np.int32],
    names: Bytes,
    ends: Rows,
    found: Rows,
    numbers: Numbers,
) -> tuple[int, int, int]:
    """Read a request from behind its experiment: into `found` where its texts start and end, and its rows.

    Returns how many candidates there are, slots, and how many attributes; -1 for the first if the request is not plain.
    Of a field that comes twice the last counts, as protobuf has it.
    """
    not_plain = (-1, 0, 0)
    seen = np.zeros((len(ends) + 63) >> 6, dtype=np.uint64)
    found[:_ATTRIBUTES] = 0
    count = slots = attributes = 0
    while at < len(request):
        field, start, at = _next(request, at)
        if field == _CANDIDATE:
            row = _row(request, start, at, table, names, ends)
            if row < 0 or count >= MAX_CANDIDATES or not _new(seen, row):
                return not_plain
            found[_ROWS + count], numbers[count] = row, row + 1
            count += 1
        elif field == _SLOTS:
            slots = int(request[start])
        elif field == _ATTRIBUTE:
            if not _read_attribute(request, start, at, found, attributes):
                return not_plain
            attributes += 1
        elif field in (_USER, _REQUEST_ID) and _printable(request, start, at):
            place = 0 if field == _USER else 2
            found[place], found[place + 1] = start, at
        else:
            return not_plain
    if found[0] == found[1] or slots > MAX_SLOTS:
        return not_plain
    return count, slots, attributes


def reference(request: bytes) -> bytes:
    """What a request calls its experiment, where that comes first and is short; else something that names none."""
    return request[2 : 2 + request[1]] if len(request) > 1 and request[0] == _EXPERIMENT else b""


class Arms:
    """An experiment's arms by row, by name, and as compiled code finds them; `active` are the rows of those that may be
    shown, ascending, all where it is None.

    What may not be shown is in no table: a request that names it is not plain, and is left out on the way that is.
    """

    def __init__(self, ids: Sequence[str], active: Sequence[int] | None = None) -> None:
        encoded = [arm_id.encode() for arm_id in ids]
        self.ids = tuple(ids)
        """By row; row r is arm number r + 1. Versions of one arm share an id."""
        self.offered = np.array(range(len(ids)) if active is None else active, np.int64)
        """The rows of all that may be shown, ascending."""
        self.numbers = tuple((self.offered + 1).tolist())
        """The arm numbers of the same."""
        self.rows: dict[str, int] = {ids[number - 1]: number - 1 for number in self.numbers}
        """By id, of those that may be shown."""
        self.withheld = frozenset(ids) - self.rows.keys()
        """Ids of paused and retired arms."""
        # Arrays of one's own memory, as all kernels want them.
        self._names = np.frombuffer(bytearray(b"".join(encoded)), np.uint8)
        self._ends = np.cumsum([len(name) for name in encoded], dtype=np.int64)
        self._table = _hashed(self._names, self._ends, self.offered)

    def number(self, name: str) -> int:
        """The arm number of a candidate, UNLISTED if it is no active arm."""
        row = self.rows.get(name)
        return UNLISTED if row is None else row + 1

    def read(self, request: bytes) -> Query | None:
        """The query of a plain request for these arms (see `reference`), None for any other bytes."""
        found = np.empty(_ROWS + MAX_CANDIDATES, np.int64)
        count, slots, attributes = _scan(
            request, 2 + request[1], self._table, self._names, self._ends, found, _numbers
        )
        if count < 0:
            return None
        user, user_end, request_id, request_id_end = found[:_ATTRIBUTES].tolist()
        return Query(
            request[user:user_end].decode(),
            found[_ROWS : _ROWS + count] if count else None,
            _numbers[:count].tobytes(),
            None,
            slots or 1,
            _attributes(request, found, attributes) if attributes else {},
            request[request_id:request_id_end].decode(),
        )


def _attributes(request: bytes, found: Rows, count: int) -> dict[str, str]:
    ends = found[_ATTRIBUTES : _ATTRIBUTES + 4 * count].tolist()
    return {
        request[ends[at] : ends[at + 1]].decode(): request[ends[at + 2] : ends[at + 3]].decode()
        for at in range(0, 4 * count, 4)
    }


_numbers = np.empty(MAX_CANDIDATES, np.dtype(f"<u{ARM_BYTES}"))
"""Scratch: what is in it is copied before anything else is read, by the one thread that serves."""


def warm_up() -> None:
    """Load what compiled code there is here, or compile it: a second or so when nothing is cached."""
    Arms(("arm",)).read(b"\x0a\x03any\x12\x04user\x1a\x03arm")
