"""What is told beside a verdict: cohorts and arms."""

import numpy as np
import pytest

from pullarm.domain.experiment import Arm
from pullarm.domain.rollup import GROUPS, Counts
from pullarm.statistics.arm_rates import ArmSums, arm_rates
from pullarm.statistics.jackknife import GroupSums
from pullarm.statistics.verdicts.details import details


def cohort(serves: int, rate: float, seed: int) -> GroupSums:
    """Of users in equal groups, whose rewards are drawn."""
    m = np.full(GROUPS, serves // GROUPS)
    return GroupSums(m, np.random.default_rng(seed).binomial(m, rate) * 1_000_000)


def counts(serves: int, rewards: int) -> Counts:
    whole = 1_000_000
    return Counts(serves=serves, rewarded=rewards, credit_micro=rewards * whole)


def test_cohorts_are_compared_where_both_sides_have_enough() -> None:
    policy = {"de": cohort(40_000, 0.24, 1), "fr": cohort(40_000, 0.12, 2), "it": cohort(200, 1, 3)}
    baseline = {"de": cohort(40_000, 0.12, 4), "fr": cohort(40_000, 0.12, 5)}
    found = details(policy, baseline, [], {})
    assert [each.cohort for each in found.cohorts] == ["de", "fr"]
    german, french = found.cohorts
    assert german.lift == pytest.approx(1.0, abs=0.1)
    assert german.interval is not None
    assert german.interval[0] < 1.0 < german.interval[1]
    assert french.interval is not None
    assert french.interval[0] < 0.0 < french.interval[1]
    # The policy does a third better and worse than its mean; what differs under control is noise.
    assert found.cohort_variation == pytest.approx(0.47, abs=0.04)
    assert found.baseline_variation is not None
    assert found.baseline_variation < 0.05


def test_one_cohort_or_none_varies_by_nothing() -> None:
    alone = {"other": cohort(40_000, 0.2, 1)}
    found = details(alone, alone, [], {})
    assert (len(found.cohorts), found.cohort_variation) == (1, None)
    nothing = details({}, alone, [], {})
    assert (nothing.cohorts, nothing.best_arms) == ((), ())


def test_arms_are_told_by_the_chance_that_they_are_best() -> None:
    arms = [Arm(arm_no=n, arm_id=f"arm-{n}") for n in range(1, 6)]
    seen = [
        counts(1_000, 100),
        counts(0, 0),
        counts(1_000, 180),
        counts(1_000, 150),
        counts(100, 5),
    ]
    sums = ArmSums(
        counts=np.array([[900, 400, 80, 80_000_000]]),
        scored=np.array([[600.0, 96.0, 420.0, 68.0, 30.0]]),
    )
    (rate,) = arm_rates(sums, alpha=0.05)
    found = details({}, {}, list(zip(arms, seen, strict=True)), {3: rate}).best_arms
    assert found[0].arm_id == "arm-3"
    assert len(found) == 3
    assert (found[0].serves, found[0].rate) == (1_000, 0.18)
    assert found[0].probability_best > found[1].probability_best > found[2].probability_best > 0
    assert found[0].adaptive_rate == pytest.approx(96 / 600)
    assert found[0].interval is not None
    assert found[0].sequence is not None
    assert found[0].sequence[0] < found[0].interval[0] < 96 / 600 < found[0].interval[1]
    assert (found[1].adaptive_rate, found[1].interval, found[1].sequence) == (None, None, None)
