"""A mergeable sketch of latencies."""

from collections import Counter
from collections.abc import Mapping
from math import ceil, inf, log

RELATIVE_ERROR = 0.01
SMALLEST_MS = 1e-3
"""What is faster counts as this fast."""

_GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GAMMA = log(_GAMMA)


def bucket_of(ms: float) -> int:
    """The bucket of one latency in milliseconds."""
    return ceil(log(max(ms, SMALLEST_MS)) / _LOG_GAMMA)


class LatencySketch:
    """Counts by logarithmic bucket: any quantile within 1 % of a true one, and shards add up exactly.

    Bucket i holds values in (gamma^(i-1), gamma^i] ms with gamma = 1.01 / 0.99. Source: Masson, Rim and Lee,
    "DDSketch" (VLDB 2019), section 2. The figure is undefined within 1 % of a threshold: count beyond it apart.
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

    def quantile(self, q: float) -> float | None:
        """The value in milliseconds below which a share q of the values lies, 0 <= q <= 1; None without values."""
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"q must lie between 0 and 1, not {q}")
        total = self._counts.total()
        if total == 0:
            return None
        rank = q * (total - 1)
        seen, bucket = 0, -inf
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen > rank:
                break
        return float(2 * _GAMMA**bucket / (_GAMMA + 1))
