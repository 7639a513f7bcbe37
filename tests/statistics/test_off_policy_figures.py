"""Where the truth is known, estimates meet it and intervals cover it, on logs of loggers that stay and that learn."""

from typing import get_args

import numpy as np
import pytest

from tests.statistics.logged_worlds import TRUTH, UNBIASED, Logger, covered, evaluated

SEEDS = 500
COVERAGE = 0.93


@pytest.mark.timeout(180)
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
