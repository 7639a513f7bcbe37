"""Arm numbers are logged as four little-endian bytes each, and nothing else is read as arm numbers."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullarm.domain.decision import ARM_BYTES, hash_of, pack_arms, unpack_arms

NUMBERS = st.lists(st.integers(0, 2**32 - 1), max_size=1_000)


@given(numbers=NUMBERS)
def test_arm_numbers_are_read_back_in_their_order(numbers: list[int]) -> None:
    packed = pack_arms(numbers)
    assert len(packed) == ARM_BYTES * len(numbers)
    assert unpack_arms(packed) == tuple(numbers)


def test_bytes_are_those_the_ledger_documents() -> None:
    assert pack_arms([1, 0, 0x01020304]).hex() == "010000000000000004030201"


@pytest.mark.parametrize("number", [-1, 2**32])
def test_number_beyond_32_bits_is_refused(number: int) -> None:
    with pytest.raises(struct.error):
        pack_arms([1, number])


@given(packed=st.binary(max_size=100).filter(lambda packed: len(packed) % ARM_BYTES))
def test_other_lengths_are_refused(packed: bytes) -> None:
    with pytest.raises(struct.error):
        unpack_arms(packed)


def test_hash_tells_orders_apart_and_stays_what_it_was() -> None:
    """Figures of blake2b with a digest of eight bytes; rows in ledgers hold such."""
    assert hash_of(pack_arms([1, 2])) == -1_871_280_535_689_632_213
    assert hash_of(pack_arms([2, 1])) == 3_162_445_399_479_246_735
