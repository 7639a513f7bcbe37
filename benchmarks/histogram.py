"""Latencies as an HDR histogram: percentiles to three digits, whatever their number; shards add up exactly."""

from collections.abc import Callable, Iterable
from typing import Self

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import ArrayLike

_LONGEST_US = 3_600_000_000
_DIGITS = 3


class Histogram:
    """Latencies between a microsecond and an hour; what lies beyond counts as that.

    Source: Gil Tene's HdrHistogram, by the package hdrhistogram.
    """

    def __init__(self) -> None:
        self._hdr = HdrHistogram(1, _LONGEST_US, _DIGITS)

    @classmethod
    def of(cls, seconds: ArrayLike) -> Self:
        """From latencies in seconds, shape (n,)."""
        made = cls()
        us = np.rint(np.asarray(seconds, dtype=np.float64) * 1e6).astype(np.int64)
        values, counts = np.unique(np.clip(us, 1, _LONGEST_US), return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            made._hdr.record_value(value, count)
        return made

    @classmethod
    def merged(cls, shards: Iterable["Histogram"]) -> Self:
        """All values of all shards."""
        made = cls()
        for shard in shards:
            made._hdr.add(shard._hdr)
        return made

    @classmethod
    def decoded(cls, text: str) -> Self:
        """From `encoded`."""
        made = cls()
        made._hdr.decode_and_add(text)
        return made

    def encoded(self) -> str:
        """HdrHistogram's own compressed form (V2, base64), which its other implementations read too."""
        return str(self._hdr.encode().decode())

    def __reduce__(self) -> tuple[Callable[[str], "Histogram"], tuple[str]]:
        """How it goes from one process to another: the package's own objects cannot."""
        return Histogram.decoded, (self.encoded(),)

    @property
    def count(self) -> int:
        """How many values."""
        return int(self._hdr.get_total_count())

    def percentile_ms(self, percent: float) -> float | None:
        """The latency that `percent` of 0 to 100 % do not exceed, within 0.1 %; None without values."""
        if self.count == 0:
            return None
        return float(self._hdr.get_value_at_percentile(percent)) / 1000

    @property
    def max_ms(self) -> float | None:
        """The longest latency, within 0.1 %; None without values."""
        return self.percentile_ms(100)
