"""What the estimators' benchmark measures, of fewer rows."""

from benchmarks import estimators


def test_every_estimator_is_timed() -> None:
    found = estimators.measure(seed=1, rows=100_000)
    assert (found["rows"], found["estimates"]) == (100_000.0, 9.0)
    assert found["seconds"] > 0.0
    assert found["peak_mb"] > 10.0
    assert {limit.figure for limit in estimators.LIMITS} <= set(found)
