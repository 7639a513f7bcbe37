"""What the benchmark of replay measures, of fewer ratings and runs."""

from benchmarks import replaying


def test_every_policy_is_timed_in_both_ways() -> None:
    found = replaying.measure(seed=1, ratings=50_000, visits=400, runs=1)
    assert found["runs"] == 4
    assert all(seconds > 0.0 for seconds in found.values())
    assert {f"{policy} rejection_s" for policy in replaying.POLICIES} <= set(found)
    assert {limit.figure for limit in replaying.LIMITS} <= set(found)
    told = replaying.table(found)
    assert [line.split()[0] for line in told.splitlines()][1:5] == list(replaying.POLICIES)
