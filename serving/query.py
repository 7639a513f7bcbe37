"""What is asked of one selection; plain requests are read by compiled code (see `wire`), for these alone."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pullarm.domain.decision import ARM_BYTES, UNLISTED
from serving.wire import (
    ATTRIBUTES,
    FOUND,
    LEAST_CANDIDATE,
    NUMBER,
    ROWS_END,
    Bounds,
    Rows,
    hashed,
    scan,
    split_batch,
)


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

    def draws_one(self) -> bool:
        """Whether a policy draws once, from candidates that were named."""
        return self.slots == 1 and self.rows is not None


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
        texts = np.frombuffer(bytearray(b"".join(encoded)), np.uint8)
        ends = np.cumsum([len(name) for name in encoded], dtype=np.int64)
        self._index = hashed(texts, ends, self.offered), texts, ends

    def number(self, name: str) -> int:
        """The arm number of a candidate, UNLISTED if it is no active arm."""
        row = self.rows.get(name)
        return UNLISTED if row is None else row + 1

    def read(self, request: bytes) -> Query | None:
        """The query of a plain request for these arms (see `reference`), None for any other bytes."""
        whole = np.zeros((1, 2), np.int64)
        whole[0, 1] = len(request)
        read = self.read_all(request, whole)
        return read[0] if read else None

    def read_all(self, data: bytes, bounds: Bounds) -> list[Query]:
        """The queries of the requests that start and end there, up to the first that is not plain, or of another
        experiment than the first, which is for these arms.
        """
        most = int(bounds[-1, 1] - bounds[0, 0]) // LEAST_CANDIDATE
        rows, numbers = np.empty(most, np.int64), np.empty(most, NUMBER)
        found = np.empty((len(bounds), FOUND), np.int64)
        named = 2 + data[bounds[0, 0] + 1]
        count = scan(data, bounds, named, self._index, (found, rows, numbers))
        texts = found[:count, :ATTRIBUTES].tolist()
        packed = numbers[: texts[-1][ROWS_END]].tobytes() if count else b""
        queries: list[Query] = []
        start = 0
        for place, text in enumerate(texts):
            user, user_end, request_id, request_id_end, slots, end, attributes = text
            # All fields, in the order of their definitions: see `decider.decide`.
            query = (
                data[user:user_end].decode(),
                rows[start:end] if end > start else None,
                packed[ARM_BYTES * start : ARM_BYTES * end],
                None,
                slots or 1,
                _attributes(data, found[place], attributes) if attributes else {},
                data[request_id:request_id_end].decode() if request_id_end else "",
                0,
            )
            queries.append(tuple.__new__(Query, query))
            start = end
        return queries


def _attributes(request: bytes, found: Rows, count: int) -> dict[str, str]:
    ends = found[ATTRIBUTES : ATTRIBUTES + 4 * count].tolist()
    return {
        request[ends[at] : ends[at + 1]].decode(): request[ends[at + 2] : ends[at + 3]].decode()
        for at in range(0, 4 * count, 4)
    }


def warm_up() -> None:
    """Load what compiled code there is here, or compile it: a second or so when nothing is cached."""
    request = b"\x0a\x03any\x12\x04user\x1a\x03arm"
    Arms(("arm",)).read(request)
    split_batch(request, 1)
