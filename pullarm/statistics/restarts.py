"""Tests of one hypothesis that start anew from time to time, so that what breaks late is found soon."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pullarm.statistics.e_values import log_mean


@dataclass(frozen=True, slots=True)
class Schedule:
    """When tests start within a period, and with what share of its evidence.

    Each rhythm has the same share of the period, and each of its starts the same share of that: (3600, 86400) in 14
    days gives 1/2 to 336 hourly starts and 1/2 to 14 daily ones. A test runs from its start to the end of the period
    and sees only what came since; at the next period all begin again, so alpha is per period.

    The family's e-value is the mean of its tests', each being 1 until it starts: one threshold for all, passed no later
    than if alpha were split by the shares. It is a function of age and counters, so a check that was missed delays the
    alarm and invalidates nothing.

    Source: Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", New
    England Journal of Statistics in Data Science 2 (2024), section 2; the mean with weights that sum to 1 keeps alpha.
    """

    period_s: int
    rhythms_s: tuple[int, ...]
    """Seconds between starts, above 0; the first start of each is the beginning of the period."""

    def __post_init__(self) -> None:
        if not (self.period_s > 0 and self.rhythms_s and min(self.rhythms_s) > 0):
            raise ValueError(f"periods and rhythms must be above 0 s, not {self}")

    def begun(self, age_s: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The tests that run at an age, in seconds since the first period began, 0 or more.

        Returns:
            (n_tests,) the age at which each started, ascending, the first at the beginning of the current period; and
            (n_tests,) its share.
        """
        if not 0.0 <= age_s < math.inf:
            raise ValueError(f"age_s must be 0 or more, not {age_s}")
        beginning = int(age_s // self.period_s) * self.period_s
        shares: dict[int, float] = {}
        for rhythm in self.rhythms_s:
            starts = range(0, self.period_s, rhythm)
            for start in starts[: int((age_s - beginning) // rhythm) + 1]:
                shares[start] = shares.get(start, 0.0) + 1.0 / (len(self.rhythms_s) * len(starts))
        ordered = sorted(shares)
        return (
            np.array(ordered, dtype=np.int64) + beginning,
            np.array([shares[start] for start in ordered]),
        )

    def log_e(self, age_s: float, log_e: ArrayLike) -> float:
        """ln of the family's e-value at an age, of the ln(E) of the tests that `begun` names, in its order.

        Raises:
            ValueError: unless there is one for each.
        """
        starts, shares = self.begun(age_s)
        values = np.asarray(log_e, dtype=np.float64)
        if values.shape != shares.shape:
            raise ValueError(
                f"log_e needs one value for each of {len(starts)} tests: {values.shape}"
            )
        return float(log_mean(values, shares))
