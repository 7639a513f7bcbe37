"""What the estimators' benchmark measures, of fewer rows."""

from benchmarks import estimators


def test_every_estimator_is_timed() -> None:
    found = estimators.measure(seed=1, rows=200_000)  # two parts
    assert (found["estimators rows"], found["estimators estimates"]) == (200_000.0, 9.0)
    assert found["estimators seconds"] > 0.0
    assert found["estimators peak_mb"] > 10.0
    assert {limit.figure for limit in estimators.LIMITS} <= set(found)
