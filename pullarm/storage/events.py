"""The stream entry: how a batch of events travels from serving to the ledger.

One byte of format, then msgpack. Format 2 has candidates as packed bytes; format 1, older than any release, is unread.
"""

from collections.abc import Sequence
from struct import Struct

import msgspec

from pullarm.domain.decision import Batch, Decision, Reward, ServingMinute, Token

FORMAT = b"\x02"
MAX_EVENTS = 512
MAX_BYTES = 256 * 1024

# As the specification of msgpack has them: "fixarray" and "array 32".
_ARRAY_OF_4 = b"\x94"
_ARRAY_32 = Struct(">BI")
_ARRAY_32_MARK = 0xDD

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Batch)

Event = Decision | Reward | Token | ServingMinute
"""A Token stands for the voiding of its decision."""


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
) -> bytes:
    """A stream entry of packed events."""
    kinds = (decisions, rewards, voids, minutes)
    return FORMAT + _ARRAY_OF_4 + b"".join([part for kind in kinds for part in _array(kind)])


def _array(packed: Sequence[bytes]) -> tuple[bytes, ...]:
    """Of events that are packed already."""
    return (_ARRAY_32.pack(_ARRAY_32_MARK, len(packed)), *packed)


def unpack(payload: bytes) -> Batch:
    """The batch of a stream entry; raises MalformedEntry."""
    if payload[:1] != FORMAT:
        raise MalformedEntry(f"format byte {payload[:1]!r} is not known; known is {FORMAT!r}")
    try:
        return _decoder.decode(payload[1:])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise MalformedEntry(str(error)) from error


def merge(batches: list[Batch]) -> Batch:
    """The union of batches."""
    return Batch(
        [event for batch in batches for event in batch.decisions],
        [event for batch in batches for event in batch.rewards],
        [event for batch in batches for event in batch.voids],
        [event for batch in batches for event in batch.minutes],
    )
