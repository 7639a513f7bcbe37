"""Intervals of arms' rates under Thompson sampling: weighted scores hold, clicks / serves do not."""

from tests.statistics.arm_means import coverage


def test_intervals_of_equal_arms_hold_what_they_say() -> None:
    """200 runs of 10,000 decisions, floor 0.1, three arms together: a standard error of 0.009.

    Measured before, at 4,000 runs: 0.947 by AIPW, 0.930 by clicks / serves, and 0.054 false differences.
    """
    found = coverage([0.1] * 3, decisions=10_000, floor=0.1, runs=200, seed=77_001)
    assert 0.93 <= found.aipw.mean() <= 0.97
    assert found.naive.mean() <= 0.94
    assert found.rejected <= 0.09
    # Looked at every 500 decisions only the sequence holds.
    assert found.missed >= 0.10
    assert found.missed_by_sequence <= 0.05
