"""Units meet the policies in the stated shares, keep them, and as few as possible move when the shares change."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from pullarm.domain.assignment import BUCKETS, MICRO, Unit, allocate, gate_limit, unit_of

SALT = b"0123456789abcdef"
USERS = [f"user-{number}" for number in range(20_000)]

weights = st.dictionaries(
    st.integers(1, 4), st.floats(0.001, 1_000), min_size=1, max_size=4
)  # policy number -> weight


@pytest.fixture(scope="module")
def units() -> list[Unit]:
    return [unit_of(SALT, user) for user in USERS]


@given(weights=weights)
def test_bucket_counts_are_the_shares_rounded(weights: dict[int, float]) -> None:
    counts = Counter(allocate(weights))
    assert sum(counts.values()) == BUCKETS
    assert set(counts) <= set(weights)
    for policy, weight in weights.items():
        assert abs(counts[policy] - BUCKETS * weight / sum(weights.values())) < 1


@pytest.mark.parametrize(
    ("given_weights", "expected"),
    [
        ({1: 1.0}, {1: 10_000}),
        ({1: 1.0, 2: 1.0}, {1: 5_000, 2: 5_000}),
        ({3: 1.0, 2: 1.0, 1: 1.0}, {1: 3_334, 2: 3_333, 3: 3_333}),  # a tie: the smaller number
        ({1: 1.0, 2: 2.0}, {1: 3_333, 2: 6_667}),  # the larger remainder
        ({1: 0.9999, 2: 0.0001}, {1: 9_999, 2: 1}),
    ],
)
def test_remainders_go_to_the_largest(
    given_weights: dict[int, float], expected: dict[int, int]
) -> None:
    assert Counter(allocate(given_weights)) == expected


@given(before=weights, after=weights)
def test_change_of_weights_moves_the_fewest_buckets(
    before: dict[int, float], after: dict[int, float]
) -> None:
    old = allocate(before)
    new = allocate(after, old)
    assert Counter(new) == Counter(allocate(after))
    had, has = Counter(old), Counter(new)
    moved = sum(a != b for a, b in zip(old, new, strict=True))
    assert moved == sum(max(0, had[policy] - has[policy]) for policy in had)


@given(weights=weights)
def test_same_weights_move_nobody(weights: dict[int, float]) -> None:
    table = allocate(weights)
    assert allocate({policy: weight * 7 for policy, weight in weights.items()}, table) == table


def test_fresh_table_mixes_the_policies_everywhere() -> None:
    table = allocate({1: 1.0, 2: 3.0})
    for start, end in pairwise(range(0, BUCKETS + 1, 100)):
        assert abs(Counter(table[start:end])[1] - 25) <= 1


def test_assignment_is_what_it_always_was() -> None:
    """A change of the hash would move every user of every running experiment."""
    assert unit_of(SALT, "user") == Unit(
        bucket=2_055, gate=4_654_944_545_214_400_148, hash=1_418_570_522_629_313_932
    )


def test_user_has_another_place_in_every_experiment(units: list[Unit]) -> None:
    others = [unit_of(b"another experiment", user) for user in USERS]
    same = sum(a.bucket == b.bucket for a, b in zip(units, others, strict=True))
    assert same < 15  # 2 are expected


def test_buckets_are_uniform(units: list[Unit]) -> None:
    assert {unit.bucket for unit in units} <= set(range(BUCKETS))
    counts = np.bincount([unit.bucket // 100 for unit in units], minlength=100)
    assert chisquare(counts).pvalue > 0.001


def test_hash_is_signed_and_uniform(units: list[Unit]) -> None:
    assert all(-(2**63) <= unit.hash < 2**63 for unit in units)
    counts = np.bincount([(unit.hash >> 58) + 32 for unit in units], minlength=64)
    assert chisquare(counts).pvalue > 0.001


def test_bucket_gate_and_hash_are_independent(units: list[Unit]) -> None:
    by_bucket = [unit.bucket * 10 // BUCKETS for unit in units]
    by_gate = [unit.gate * 10 >> 64 for unit in units]
    by_hash = [(unit.hash + 2**63) * 10 >> 64 for unit in units]
    for first, second in ((by_bucket, by_gate), (by_bucket, by_hash), (by_gate, by_hash)):
        table = np.zeros((10, 10))
        np.add.at(table, (first, second), 1)
        assert chi2_contingency(table).pvalue > 0.001


@pytest.mark.parametrize("share", [0.02, 0.3, 0.8])
def test_gate_lets_the_share_in(units: list[Unit], share: float) -> None:
    limit = gate_limit(round(share * MICRO))
    count = sum(unit.gate < limit for unit in units)
    deviation = (len(units) * share * (1 - share)) ** 0.5
    assert abs(count - len(units) * share) < 4 * deviation


def test_full_traffic_lets_every_hash_in_and_none_lets_nobody_in() -> None:
    assert gate_limit(MICRO) == 2**64
    assert gate_limit(0) == 0


@given(smaller=st.integers(0, MICRO), larger=st.integers(0, MICRO))
def test_raising_traffic_keeps_everybody_in(smaller: int, larger: int) -> None:
    smaller, larger = sorted((smaller, larger))
    assert gate_limit(smaller) <= gate_limit(larger)
