"""The stream entry: how a batch of events travels from serving to the ledger.

One byte of format, then msgpack. Format 3 numbers the events; format 2, which is read too, does not. Format 1, older
than any release, is unread. Where requests are traced a sixth array says so; without it an entry is as it always was.
"""

from collections.abc import Sequence
from struct import Struct

import msgspec

from pullarm.domain.decision import (
    Batch,
    Decision,
    Reward,
    ServingMinute,
    Span,
    Token,
    TraceContext,
)

FORMAT = b"\x03"
READ = (b"\x02", FORMAT)
MAX_EVENTS = 512
MAX_BYTES = 256 * 1024

# As the specification of msgpack has them: "fixarray" and "array 32".
_ARRAY_OF_5, _ARRAY_OF_6 = b"\x95", b"\x96"
_ARRAY_32 = Struct(">BI")
_ARRAY_32_MARK = 0xDD
_MOST = 2**62
_LAST_MS = 253_402_300_799_999  # of the year 9999, as far as a datetime reaches

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Batch)

Event = Decision | Reward | Token | ServingMinute | Span
"""A Token stands for the voiding of its decision; a Span is none, but travels with them."""


class MalformedEntry(ValueError):
    """The stream entry is in no format this version knows."""


def pack(event: Event) -> bytes:
    """One event packed; `entry` joins them without packing again."""
    return _encoder.encode(event)


def entry(
    decisions: Sequence[bytes],
    rewards: Sequence[bytes],
    voids: Sequence[bytes],
    minutes: Sequence[bytes] = (),
    *,
    span: Span | None = None,
    traces: Sequence[TraceContext] = (),
) -> bytes:
    """A stream entry of packed events; the span numbers them, and those before them that were given up."""
    spans = [] if span is None else [_encoder.encode(span)]
    kinds = (decisions, rewards, voids, minutes, spans)
    arrays = b"".join([part for kind in kinds for part in _array(kind)])
    if not traces:
        return FORMAT + _ARRAY_OF_5 + arrays
    return FORMAT + _ARRAY_OF_6 + arrays + _encoder.encode(traces)


def _array(packed: Sequence[bytes]) -> tuple[bytes, ...]:
    """Of events that are packed already."""
    return (_ARRAY_32.pack(_ARRAY_32_MARK, len(packed)), *packed)


def unpack(payload: bytes) -> Batch:
    """The batch of a stream entry; raises MalformedEntry."""
    if payload[:1] not in READ:
        raise MalformedEntry(f"format byte {payload[:1]!r} is not known; known are {READ}")
    try:
        batch = _decoder.decode(payload[1:])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise MalformedEntry(str(error)) from error
    for span in batch.spans:
        numbers = 0 <= span.first <= span.end <= _MOST and 0 <= span.until_ms <= _LAST_MS
        if not (numbers and "\0" not in span.process):
            raise MalformedEntry(f"{span} numbers no events")
    return batch


def merge(batches: list[Batch]) -> Batch:
    """The union of batches."""
    return Batch(
        [event for batch in batches for event in batch.decisions],
        [event for batch in batches for event in batch.rewards],
        [event for batch in batches for event in batch.voids],
        [event for batch in batches for event in batch.minutes],
        [span for batch in batches for span in batch.spans],
        tuple(trace for batch in batches for trace in batch.traces),
    )
