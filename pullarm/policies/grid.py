"""The grid on which Thompson's weights are integrated; planned and numbered by the publisher."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """The edges of the panels of a composite quadrature over arm rates.

    Raises:
        ValueError: if the points are fewer than two, outside [0, pi/2] or not ascending.
    """

    number: int  # given by the publisher; 0 until then
    points: NDArray[np.float64]  # (n_panels + 1,) asin(sqrt(rate)), ascending in [0, pi/2]

    def __post_init__(self) -> None:
        points = np.array(self.points, dtype=np.float64, order="C")
        if points.ndim != 1 or len(points) < 2:
            raise ValueError(f"grid points must be at least two numbers; got {self.points!r}")
        # Written so that NaN is refused too.
        if not (points[0] >= 0.0 and points[-1] <= math.pi / 2 and (np.diff(points) > 0.0).all()):
            raise ValueError("grid points must ascend strictly within [0, pi/2]")
        object.__setattr__(self, "points", points)

    def numbered(self, number: int) -> Self:
        """The same grid with the publisher's number."""
        return replace(self, number=number)

    def to_bytes(self) -> bytes:
        """The points as little-endian doubles; the number travels beside them."""
        return self.points.astype("<f8").tobytes()

    @classmethod
    def from_bytes(cls, number: int, data: bytes) -> Self:
        """Read what `to_bytes` wrote."""
        return cls(number=number, points=np.frombuffer(data, dtype="<f8"))
