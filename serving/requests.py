"""From the wire to checked queries and reports. Every limit of the contract is checked here and named."""

import re
from collections.abc import Callable, Container, Iterator, Mapping
from itertools import groupby
from typing import TypeVar, cast

import numpy as np
from google.protobuf import message
from google.protobuf.message import DecodeError

from pullarm.domain.decision import RewardStatus, pack_arms
from pullarm.domain.errors import InvalidInput, Problem, PullarmError, invalid
from pullarm.v1 import selection_pb2 as pb
from serving.query import Arms, Query
from serving.rewards import Report
from serving.snapshot import Served, Snapshot
from serving.wire import (
    MAX_ATTRIBUTES,
    MAX_CANDIDATES,
    MAX_ID_BYTES,
    MAX_SLOTS,
    Bounds,
    reference,
    split_batch,
)

MAX_BATCH = 256
_TOGETHER, _AHEAD_BYTES = 64, 1 << 14
"""How much of a batch is read and decided in one go: about a millisecond's work."""

STATUS = {
    status.value: cast("pb.RewardStatus", pb.RewardStatus.Value(f"REWARD_STATUS_{status.name}"))
    for status in RewardStatus
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MAX_BYTES_PER_CHARACTER = 4
_MAX_NAMED = 10  # a status travels in trailers, which may have 8 kB
_MAX_NAME_CHARACTERS = 32

Message = TypeVar("Message", bound=message.Message)


def _text_problem(field: str, text: str, *, required: bool) -> Problem | None:
    if not text:
        return Problem(field, f"is empty; give 1 to {MAX_ID_BYTES} bytes") if required else None
    if len(text) * _MAX_BYTES_PER_CHARACTER > MAX_ID_BYTES:
        size = len(text.encode())
        if size > MAX_ID_BYTES:
            return Problem(field, f"has {size} bytes; at most {MAX_ID_BYTES}")
    if not text.isprintable() and _CONTROL.search(text):
        return Problem(field, "contains a control character")
    return None


def _raise_if_any(problems: list[Problem | None]) -> None:
    found = [problem for problem in problems if problem is not None]
    more = len(found) - _MAX_NAMED
    if more > 0:
        found[_MAX_NAMED:] = [Problem("request", f"has {more} more problems")]
    if found:
        raise InvalidInput(*found)


def parse(kind: type[Message], data: bytes) -> Message:
    """The message; raises InvalidInput for bytes that are none."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        name = kind.DESCRIPTOR.full_name
        raise InvalidInput(Problem("request", f"is no {name} message")) from error


Asked = tuple[Served, Query]
"""Of which experiment a Select asks, and what."""
Some = tuple[Served, list[Query]]
"""Of which experiment some of a batch ask, and what."""


def read(snapshot: Snapshot, data: bytes) -> Asked:
    """What a Select asks; raises InvalidInput, NotFound, Unavailable."""
    served = snapshot.by_reference.get(reference(data))
    plain = served and served.arms.read(data)
    if served and plain:
        return served, plain
    return _read_message(snapshot, data)


def read_all(look: Callable[[], Snapshot], data: bytes) -> Iterator[Some | PullarmError]:
    """What the Selects of a batch ask, in their order, or why one is refused; raises InvalidInput for other bytes and
    other sizes.

    Of one experiment some come together: as many as cost little to decide. Time may pass from one to the next.
    """
    data, bounds = _split(pb.SelectBatchRequest, data)
    return _each(look, data, bounds)


def _each(
    look: Callable[[], Snapshot], data: bytes, bounds: Bounds
) -> Iterator[Some | PullarmError]:
    while len(bounds):
        start, end = bounds[0].tolist()
        snapshot, count = look(), 0
        served = snapshot.by_reference.get(reference(data, start))
        if served is not None:
            near = max(1, int(np.searchsorted(bounds[:_TOGETHER, 1], start + _AHEAD_BYTES)))
            plain = served.arms.read_all(data, bounds[:near])
            count = len(plain)
            for quick, some in groupby(plain, Query.draws_one):
                if quick:
                    yield served, list(some)
                else:
                    for one in some:
                        yield served, [one]
        if not count:
            count = 1
            try:
                served, asked = _read_message(snapshot, data[start:end])
            except PullarmError as error:
                yield error
            else:
                yield served, [asked]
        bounds = bounds[count:]


def _read_message(snapshot: Snapshot, data: bytes) -> Asked:
    request = parse(pb.SelectRequest, data)
    served = snapshot.by_reference.get(request.experiment_id.encode())
    asked = query(request, served.arms if served else None)
    return served or snapshot.find(request.experiment_id), asked


def query(request: pb.SelectRequest, arms: Arms | None) -> Query:
    """A checked selection, plain or not; the name of an arm was checked when it became one."""
    known, withheld = (arms.rows, arms.withheld) if arms else ({}, ())
    _raise_if_any(_query_problems(request, known))
    named = dict.fromkeys(request.candidate_ids)
    names = [name for name in named if name not in withheld]
    rows = [known[name] for name in names if name in known]
    return Query(
        user=request.user_id,
        rows=np.array(rows, np.int64) if named else None,
        arms=pack_arms([row + 1 for row in rows]),
        names=names if len(rows) < len(names) else None,
        slots=request.slots or 1,
        attributes=dict(request.attributes),
        request_id=request.request_id,
        withheld=len(named) - len(names),
    )


def _query_problems(request: pb.SelectRequest, known: Container[str]) -> list[Problem | None]:
    problems = [
        _text_problem("experiment_id", request.experiment_id, required=True),
        _text_problem("user_id", request.user_id, required=True),
        _text_problem("request_id", request.request_id, required=False),
    ]
    count = len(request.candidate_ids)
    if count > MAX_CANDIDATES:
        problems.append(Problem("candidate_ids", f"has {count}; at most {MAX_CANDIDATES}"))
    else:
        problems += [
            _text_problem(f"candidate_ids[{place}]", candidate, required=True)
            for place, candidate in enumerate(request.candidate_ids)
            if candidate not in known
        ]
    if not 0 <= request.slots <= MAX_SLOTS:
        problems.append(Problem("slots", f"is {request.slots}; give 1 to {MAX_SLOTS}, or 0 for 1"))
    return problems + _attribute_problems(request.attributes)


def _attribute_problems(attributes: Mapping[str, str]) -> list[Problem | None]:
    if len(attributes) > MAX_ATTRIBUTES:
        return [Problem("attributes", f"has {len(attributes)}; at most {MAX_ATTRIBUTES}")]
    problems: list[Problem | None] = []
    for name, value in attributes.items():
        problems.append(_text_problem("attributes name", name, required=True))
        field = f"attributes[{name[:_MAX_NAME_CHARACTERS]!r}]"
        problems.append(_text_problem(field, value, required=False))
    return problems


def report(request: pb.RewardRequest, source: str = "") -> Report:
    """A checked outcome, of this source where it names none; the decision id is looked at by whoever has the keys."""
    _raise_if_any(
        [
            _text_problem("arm_id", request.arm_id, required=False),
            _text_problem("kind", request.kind, required=False),
            _text_problem("reward_id", request.reward_id, required=False),
            _text_problem("source", request.source, required=False),
        ]
    )
    return Report(
        arm_id=request.arm_id,
        value=request.value,
        kind=request.kind,
        reward_id=request.reward_id,
        occurred_ms=_occurred_ms(request),
        source=request.source or source,
        retract=request.retract,
    )


def _occurred_ms(request: pb.RewardRequest) -> int | None:
    if not request.HasField("occurred_at"):
        return None
    moment = request.occurred_at
    # The range of google.protobuf.Timestamp: years 1 to 9999.
    if not (-62_135_596_800 <= moment.seconds <= 253_402_300_799 and 0 <= moment.nanos < 10**9):
        raise invalid("occurred_at", "is no valid timestamp")
    return moment.seconds * 1_000 + moment.nanos // 1_000_000


def split(data: bytes) -> list[bytes]:
    """The requests of a RewardBatch, each still to be parsed; raises InvalidInput for other bytes and other sizes."""
    data, bounds = _split(pb.RewardBatchRequest, data)
    return [data[start:end] for start, end in bounds.tolist()]


def _split(
    kind: type[pb.SelectBatchRequest] | type[pb.RewardBatchRequest], data: bytes
) -> tuple[bytes, Bounds]:
    """The batch, and where in it each request starts and ends."""
    bounds = split_batch(data, MAX_BATCH + 1)
    if bounds is None:  # no batch, or one with fields that this version does not know
        message = parse(kind, data)
        message.DiscardUnknownFields()
        data = message.SerializeToString()
        bounds = split_batch(data, MAX_BATCH + 1)
        assert bounds is not None  # there is nothing else any more
    if not len(bounds):
        raise invalid("requests", f"has 0; give 1 to {MAX_BATCH}")
    if len(bounds) > MAX_BATCH:
        raise invalid("requests", f"has more than {MAX_BATCH}; give 1 to {MAX_BATCH}")
    return data, bounds
