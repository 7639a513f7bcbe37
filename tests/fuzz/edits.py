"""Genuine bytes with a few places changed: deep into a reader, where arbitrary bytes never come."""

from typing import NamedTuple

from hypothesis import strategies as st

_TELLING = b'\x00\x01\x7f\x80\xff"{}[],:;|-+.eE09 \n\r'
"""What readers have cases for."""


class Edit(NamedTuple):
    """Bytes in place of others; the place is a share of the whole, so that it falls within any length."""

    place: float
    removed: int
    put: bytes


edits = st.lists(
    st.builds(
        Edit,
        st.floats(0, 1),
        st.sampled_from([0, 1, 1, 1, 2, 8, 1_000]),
        st.binary(max_size=4) | st.sampled_from([bytes([one]) for one in _TELLING]),
    ),
    min_size=1,
    max_size=4,
)


def edited(data: bytes, changes: list[Edit]) -> bytes:
    """`data` with the changes made one after another."""
    for change in changes:
        at = int(change.place * len(data))
        data = data[:at] + change.put + data[at + change.removed :]
    return data
