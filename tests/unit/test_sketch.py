"""The latency sketch against exact percentiles, and as shards that add up."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from pullarm.statistics.sketch import RELATIVE_ERROR, LatencySketch, bucket_of
from tests.vectors import vector

VECTOR = vector("sketch_percentiles")
QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)


def points(share: float, centre_ms: float, deviation: float) -> NDArray[np.float64]:
    """A lognormal law as its quantile points."""
    n = round(share * VECTOR["n"])
    return centre_ms * np.exp(deviation * np.asarray(norm.ppf((np.arange(n) + 0.5) / n)))


LAWS = dict(
    zip(
        VECTOR["results"],
        (points(1.0, 40, 0.6), np.append(points(0.9, 20, 0.3), points(0.1, 150, 0.2))),
        strict=True,
    )
)


def sketch(values: NDArray[np.float64]) -> LatencySketch:
    made = LatencySketch()
    for value in values:
        made.add(float(value))
    return made


@pytest.mark.parametrize("law", LAWS)
def test_quantiles_of_merged_shards_lie_within_one_percent(law: str) -> None:
    shards = [sketch(LAWS[law][start::8]) for start in range(8)]
    merged = sum(shards, LatencySketch())
    assert merged.counts == sketch(LAWS[law]).counts
    for q in QUANTILES:
        exact = VECTOR["results"][law]["exact"][str(q)]
        assert merged.quantile(q) == pytest.approx(exact, rel=RELATIVE_ERROR)
    assert VECTOR["tolerances"]["ddsketch"] > RELATIVE_ERROR


@pytest.mark.parametrize("edge_ms", [100.0, 120.0])
def test_the_guardrails_limits_are_edges(edge_ms: float) -> None:
    """So a share of slow answers is exact, and agrees with the percentile."""
    near = [edge_ms * (1.0 - 1e-9), edge_ms, edge_ms * (1.0 + 1e-9), edge_ms * 1.01]
    made = sketch(np.array(near))
    assert made.above(edge_ms) == 2
    low, high = made.quantile(0.0), made.quantile(1.0)
    assert low is not None
    assert high is not None
    assert low < edge_ms < high
    assert bucket_of(120.0) - bucket_of(100.0) == 10


def test_what_a_limit_within_a_bucket_cuts_is_not_counted_as_above() -> None:
    made = sketch(np.array([110.0, 110.5, 113.0]))
    assert bucket_of(110.0) == bucket_of(110.5) < bucket_of(113.0)
    assert made.above(110.2) == 1


def test_the_interval_of_a_percentile_covers_it_as_often_as_it_says() -> None:
    """2,000 samples of 400: 95 % with a standard error of 0.5 %, and the sketch's own error widens it."""
    rng = np.random.default_rng(5)
    true = math.exp(math.log(40) + 0.6 * norm.ppf(0.95))
    covered = 0
    for _ in range(2000):
        found = sketch(np.exp(math.log(40) + 0.6 * rng.standard_normal(400))).interval(0.95)
        assert found is not None
        covered += found[0] * (1.0 - RELATIVE_ERROR) <= true <= found[1] * (1.0 + RELATIVE_ERROR)
    assert 0.93 <= covered / 2000 <= 0.985


def test_an_interval_has_the_ends_of_few_values_and_narrows_with_many() -> None:
    few, many = sketch(np.array([10.0, 20.0])), sketch(LAWS["lognormal mu=ln(40) sigma=0.6 ms"])
    assert few.interval(0.95) == (few.quantile(0.0), few.quantile(1.0))
    low, high = many.interval(0.95) or (0.0, 0.0)
    assert 104.0 < low < 107.3 < high < 111.0


def test_an_empty_sketch_tells_nothing_and_wrong_arguments_are_named() -> None:
    assert LatencySketch().quantile(0.95) is None
    assert LatencySketch().interval(0.95) is None
    assert LatencySketch().above(120.0) == 0
    with pytest.raises(ValueError, match="q must lie between 0 and 1"):
        LatencySketch().quantile(95)
    with pytest.raises(ValueError, match="alpha must be between 0 and 1"):
        LatencySketch().interval(0.5, alpha=1.0)
