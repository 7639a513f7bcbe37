"""What arms were served and earned, in columns."""

import numpy as np

from pullarm.domain.rollup import Counts
from pullarm.statistics.arm_counts import ArmCounts

MICRO = 1_000_000


def _counts(*rows: tuple[int, int, int, int, int, int]) -> ArmCounts:
    policies, arm_nos, first_slots, serves, rewarded, credits_micro = (
        np.array(rows, dtype=np.int64).reshape(-1, 6).T
    )
    return ArmCounts(
        policies=policies,
        arm_nos=arm_nos,
        first_slots=first_slots,
        serves=serves,
        rewarded=rewarded,
        credits_micro=credits_micro,
    )


def test_shares_are_of_a_policy_and_its_slots() -> None:
    found = _counts(
        (1, 1, 1, 30, 3, 3 * MICRO),
        (1, 1, 2, 5, 0, 0),
        (1, 2, 1, 10, 5, 2_500_000),
        (2, 1, 1, 8, 1, 1),
    )
    assert found.shares.tolist() == [0.75, 1.0, 0.25, 1.0]
    assert found.rewards.tolist() == [3.0, 0.0, 2.5, 1e-6]
    assert found.rates.tolist() == [0.1, 0.0, 0.25, 1.25e-7]


def test_rows_have_their_counts() -> None:
    found = _counts((1, 7, 2, 5, 2, 1_500_000))
    expected = Counts(serves=5, rewarded=2, credit_micro=1_500_000)
    assert list(found.rows()) == [(1, 7, 2, expected)]


def test_nothing_served_has_no_rows() -> None:
    found = _counts()
    assert found.shares.tolist() == found.rates.tolist() == list(found.rows()) == []
