"""The latency sketch against the reference vector, and as shards that add up."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from pullarm.statistics.sketch import RELATIVE_ERROR, LatencySketch

VECTOR = json.loads(
    (Path(__file__).parent.parent / "fixtures/vectors/sketch_percentiles.json").read_text()
)
QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)


def _lognormal_ms() -> list[float]:
    """The vector's first law, as its quantile points."""
    n = VECTOR["n"]
    return [float(x) for x in np.exp(np.log(40) + 0.6 * norm.ppf((np.arange(n) + 0.5) / n))]


def _sketch(values: list[float]) -> LatencySketch:
    sketch = LatencySketch()
    for value in values:
        sketch.add(value)
    return sketch


@pytest.mark.parametrize("example", VECTOR["ddsketch"]["index_examples"])
def test_a_value_falls_into_the_reference_s_bucket(example: dict[str, float]) -> None:
    sketch = _sketch([example["x"]])
    assert dict(sketch.counts) == {example["i"]: 1}
    assert sketch.quantile(0.5) == pytest.approx(example["value"], rel=1e-12)


@pytest.mark.parametrize("q", QUANTILES)
def test_quantiles_lie_within_the_stated_error_of_the_exact_ones(q: float) -> None:
    values = _lognormal_ms()
    shards = [_sketch(values[start::8]) for start in range(8)]
    merged = sum(shards, LatencySketch())
    exact = sorted(values)[int(q * (len(values) - 1))]
    assert merged.quantile(q) == pytest.approx(exact, rel=RELATIVE_ERROR)
    assert merged.counts == _sketch(values).counts


def test_an_empty_sketch_has_no_quantile_and_a_wrong_one_is_named() -> None:
    assert LatencySketch().quantile(0.95) is None
    with pytest.raises(ValueError, match="q must lie between 0 and 1"):
        LatencySketch().quantile(95)
