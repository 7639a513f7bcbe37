"""The draw: the generator, the rejection, and bits that stay as they are."""

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullarm.policies import registry
from pullarm.policies.draw import KERNEL, WEIGHT_ONE, Choice, choose, draw, integer_weights, number
from pullarm.policies.exact import philox, product
from pullarm.policies.grid import Grid
from tests.posteriors import posterior

words = st.integers(0, 2**64 - 1)


def numpy_philox(uid: bytes, attempt: int, slot: int) -> list[int]:
    """numpy's Philox at the same counter; it counts one up before it draws."""
    counter = (attempt + (slot << 64) - 1) % 2**256
    generator = np.random.Philox(counter=counter, key=int.from_bytes(uid, "little"))
    return [int(word) for word in np.asarray(generator.random_raw(4))]


@given(uid=st.binary(min_size=16, max_size=16), attempt=words, slot=words)
def test_philox_is_numpys(uid: bytes, attempt: int, slot: int) -> None:
    keys = np.frombuffer(uid, dtype="<u8")
    ours = philox(keys[0], keys[1], np.uint64(attempt), np.uint64(slot))
    assert [int(word) for word in ours] == numpy_philox(uid, attempt, slot)


@given(
    integers=st.lists(st.integers(0, 2**32), min_size=1, max_size=5).filter(any),
    uid=st.binary(min_size=16, max_size=16),
    slot=st.integers(0, 3),
)
def test_drawn_is_the_first_at_which_the_sum_exceeds_the_number(
    integers: list[int], uid: bytes, slot: int
) -> None:
    below = number(sum(integers), uid, slot)
    first = next(place for place, upto in enumerate(accumulate(integers)) if below < upto)
    assert draw(np.array(integers, dtype=np.uint64), uid, slot) == first


def test_a_number_is_below_something() -> None:
    with pytest.raises(ValueError, match="total must be at least 1, not 0"):
        number(0, bytes(16), 0)


@given(a=words, b=words)
def test_products_have_128_bits(a: int, b: int) -> None:
    high, low = product(np.uint64(a), np.uint64(b))
    assert (int(high) << 64) + int(low) == a * b


@given(
    integers=st.lists(st.integers(0, 2**62), min_size=1, max_size=3).filter(any),
    uid=st.binary(min_size=16, max_size=16),
    slot=st.integers(0, 99),
)
def test_a_draw_is_the_remainder_of_the_first_word_without_bias(
    integers: list[int], uid: bytes, slot: int
) -> None:
    """Totals near 2^64 make rejection likely: up to a quarter of the words are refused."""
    total, attempt = sum(integers), 0
    while (word := numpy_philox(uid, attempt, slot)[0]) < 2**64 % total:
        attempt += 1
    ends = list(accumulate(integers))
    expected = next(i for i, end in enumerate(ends) if word % total < end)
    assert draw(np.array(integers, dtype=np.uint64), uid, slot) == expected


def test_rejection_happens_where_it_must() -> None:
    integers = np.full(3, 2**62, dtype=np.uint64)
    refused = [
        uid
        for uid in (bytes([i]) * 16 for i in range(100))
        if numpy_philox(uid, 0, 0)[0] < 2**64 % (3 * 2**62)
    ]
    assert len(refused) > 10
    for uid in refused:
        accepted = [numpy_philox(uid, attempt, 0)[0] for attempt in range(20)]
        word = next(word for word in accepted if word >= 2**64 % (3 * 2**62))
        assert draw(integers, uid, 0) == word % (3 * 2**62) // 2**62


def test_integer_weights_apply_the_floor_and_keep_rare_arms() -> None:
    assert integer_weights(np.array([1.0, 0.0]), 0.0).tolist() == [WEIGHT_ONE, 0]
    assert integer_weights(np.array([1.0, 0.0]), 0.5).tolist() == [3 * 2**30, 2**30]
    assert integer_weights(np.array([1.0, 1e-300]), 0.0).tolist() == [WEIGHT_ONE, 1]


def test_nothing_to_draw_from_is_refused() -> None:
    with pytest.raises(ValueError, match="all integer weights are 0"):
        draw(np.zeros(2, dtype=np.uint64), bytes(16), 0)


def test_propensity_is_the_weight_over_the_total() -> None:
    assert Choice(row=3, weight=1, total=4).propensity == 0.25


# What kernel 2 answers, on any machine. If this fails, the arithmetic has changed: count KERNEL
# up and record the new answers, so that logged decisions are not explained by other arithmetic.
RECORDED = {
    "control": [(5, 4294967296, 4294967296), (0, 4294967296, 4294967296)],
    "thompson": [(1, 1606484831, 4294967297), (0, 3129792988, 4294967297)],
    "egreedy": [(0, 3937053355, 4294967295), (1, 3951369912, 4294967296)],
    "ucb": [(0, 4116010325, 4294967295), (5, 4123168604, 4294967296)],
}


@pytest.mark.parametrize("name", RECORDED)
def test_the_bits_of_this_kernel_are_recorded(name: str) -> None:
    assert KERNEL == 2
    given = posterior([0, 12, 400, 100_000, 380, 7.25], [0, 5, 48, 11_800, 47.5, 1.125])
    grid = Grid(number=1, points=np.linspace(0.0, 1.5703125, 97))
    policy = registry.build(name, {})
    slate = choose(
        policy,
        policy.prepare(given, grid=grid),
        [5, 0, 3, 1, 4, 2],
        slots=2,
        uid=b"0123456789abcdef",
    )
    assert [(choice.row, choice.weight, choice.total) for choice in slate] == RECORDED[name]
