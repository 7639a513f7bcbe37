"""Where the truth is known, estimates meet it and intervals cover it, on logs of loggers that stay and that learn."""

from typing import get_args

import numpy as np
import pytest

from replay.estimators import dr
from replay.intervals import normal
from replay.intervals.anytime import AsympCS, EmpiricalBernstein
from tests.statistics.logged_worlds import (
    BATCH,
    TRUTH,
    UNBIASED,
    USERS,
    Logger,
    covered,
    evaluated,
    logs,
    rounds_of,
)

SEEDS = 500
COVERAGE = 0.93


@pytest.mark.parametrize("logger", get_args(Logger))
def test_estimates_meet_the_truth_and_intervals_cover_it(logger: Logger) -> None:
    evaluations = list(evaluated(logger, SEEDS, seed=8_008))
    for name in UNBIASED:
        values = np.array([each.estimators[name].get() for each in evaluations])
        error = values.std(ddof=1) / np.sqrt(SEEDS)
        assert abs(values.mean() - TRUTH) <= 3 * error, name
    found = covered(evaluations)
    assert len(found) == 10
    assert min(found.values()) >= COVERAGE, found


def test_intervals_for_any_time_hold_at_every_look() -> None:
    """21 looks at each of 200 growing logs of a logger that learns; an interval for one look misses far more often."""
    missed = np.zeros(3, dtype=int)
    for log in logs("adaptive", 200, seed=8_010):
        estimator, bernstein = dr.Estimator(groups=USERS), EmpiricalBernstein()
        intervals = normal.Interval(estimator), AsympCS(estimator), bernstein
        held = np.ones(3, dtype=bool)
        (whole,) = log.batches()
        for first in range(0, len(whole), BATCH):
            rounds = rounds_of(whole, first, first + BATCH)
            estimator.add(rounds)
            bernstein.add(rounds)
            if first >= 3 * BATCH:  # before, it is not about normal
                held &= [
                    lower <= TRUTH <= upper
                    for lower, upper in (each.get(0.05) for each in intervals)
                ]
        missed += ~held
    naive, asymptotic, exact = (missed / 200).tolist()
    assert naive > 0.15
    assert asymptotic <= 0.07
    assert exact <= 0.05
