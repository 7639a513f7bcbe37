"""A mergeable sketch of latencies."""

from collections import Counter
from collections.abc import Mapping
from math import ceil, inf, log, sqrt
from statistics import NormalDist

SMALLEST_MS = 1e-3
"""What is faster counts as this fast."""

# Ten buckets from the edge at 100 ms to that at 120: where latency is a warning, and where it is critical.
_EDGE, _EDGE_MS = 240, 120.0
_GAMMA = 1.2**0.1
_LOG_GAMMA = log(_GAMMA)
_ROUNDING = 1e-9  # of a bucket: 120 ms is not above 120 ms

RELATIVE_ERROR = (_GAMMA - 1) / (_GAMMA + 1)
"""0.912 %."""


def bucket_of(ms: float) -> int:
    """The bucket of one latency in milliseconds."""
    return ceil(log(max(ms, SMALLEST_MS) / _EDGE_MS) / _LOG_GAMMA + (_EDGE - _ROUNDING))


def upper_ms(bucket: int) -> float:
    """The longest latency of a bucket, in milliseconds."""
    return float(_EDGE_MS * _GAMMA ** (bucket - _EDGE))


class LatencySketch:
    """Counts by logarithmic bucket: any quantile within 1 % of a true one, and shards add up exactly.

    Bucket i holds values in (120 gamma^(i - 241), 120 gamma^(i - 240)] ms with gamma = 1.2^(1/10), so how many exceed
    100 ms or 120 ms is exact. Source: Masson, Rim and Lee, "DDSketch" (VLDB 2019), section 2.
    """

    __slots__ = ("_counts",)

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self._counts = Counter(counts or {})

    @property
    def counts(self) -> Mapping[int, int]:
        """How many values lie in each bucket."""
        return self._counts

    def add(self, ms: float) -> None:
        """Count one latency in milliseconds."""
        self._counts[bucket_of(ms)] += 1

    def __add__(self, other: "LatencySketch") -> "LatencySketch":
        return LatencySketch(self._counts + other._counts)

    def above(self, ms: float) -> int:
        """How many values certainly exceed a limit: all of them at 100 and 120 ms, else those 1.9 % beyond it."""
        edge = bucket_of(ms)
        return sum(count for bucket, count in self._counts.items() if bucket > edge)

    def quantile(self, q: float) -> float | None:
        """The value in milliseconds below which a share q of the values lies, 0 <= q <= 1; None without values."""
        _check(q)
        return self._at(q * (self._counts.total() - 1))

    def interval(self, q: float, *, alpha: float = 0.05) -> tuple[float, float] | None:
        """Between which values the quantile q lies with confidence 1 - alpha, by order statistics; None without values.

        Those of ranks n q -+ z sqrt(n q (1 - q)), the ends of the sample where they lie beyond it; the sketch's own 1 %
        comes on top. It takes values as independent. Source: David and Nagaraja, "Order Statistics" (2003), 7.1.
        """
        _check(q)
        if not 0.0 < alpha < 1.0:
            raise ValueError(f"alpha must be between 0 and 1, not {alpha}")
        total = self._counts.total()
        reach = NormalDist().inv_cdf(1.0 - alpha / 2.0) * sqrt(total * q * (1.0 - q))
        low = self._at(max(total * q - reach - 1.0, 0.0))
        high = self._at(min(total * q + reach, total - 1.0))
        return None if low is None or high is None else (low, high)

    def _at(self, rank: float) -> float | None:
        """The value of a rank from 0."""
        seen, bucket = 0, -inf
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen > rank:
                break
        return float(2 * _EDGE_MS * _GAMMA ** (bucket - _EDGE) / (_GAMMA + 1)) if seen else None


def _check(q: float) -> None:
    if not 0.0 <= q <= 1.0:
        raise ValueError(f"q must lie between 0 and 1, not {q}")
