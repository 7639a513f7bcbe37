"""The distribution of delays, from what has come so far."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pullarm.statistics.delay import LEAST, estimate

HOUR_MS = 3_600_000
NOW_MS = 489_000 * HOUR_MS


def seen(
    rng: np.random.Generator, rewards: int, since_hours: float, mean_hours: float = 2.0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """When rewards were decided on, evenly since then, and when they came; those that have by now."""
    ages = rng.uniform(0.0, since_hours, rewards) * HOUR_MS
    delays = rng.exponential(mean_hours, rewards) * HOUR_MS
    come = delays < ages
    decided = NOW_MS - ages[come]
    return decided.astype(np.int64), (decided + delays[come]).astype(np.int64)


def test_of_mature_decisions_it_is_the_plain_distribution() -> None:
    """60 delays of 1 to 60 minutes, of decisions that are days old; each share is a count of 60."""
    decided = [NOW_MS - 50 * HOUR_MS + 7 * i for i in range(60)]
    received = [moment + 60_000 * (i + 1) for i, moment in enumerate(decided)]
    found = estimate(decided, received, NOW_MS)
    assert found is not None
    assert found.seen_ms.tolist() == [60_000 * (i + 1) for i in range(60)]
    assert found.reached == pytest.approx(np.arange(1, 61) / 60)


def test_equal_delays_jump_together() -> None:
    decided = [NOW_MS - 50 * HOUR_MS] * 80
    received = [moment + (60_000 if i < 20 else 120_000) for i, moment in enumerate(decided)]
    found = estimate(decided, received, NOW_MS)
    assert found is not None
    assert found.seen_ms.tolist() == [60_000, 120_000]
    assert found.reached == pytest.approx([0.25, 1.0])
    assert found.mean(60_000, 120_000) == pytest.approx(0.25)
    assert found.mean(0, 240_000) == pytest.approx((60 * 0.25 + 120) / 240)
    assert found.mean(0, 30_000) == 0.0
    assert found.mean(120_000, 120_001) == 1.0


@pytest.mark.parametrize("since_hours", [3.0, 6.0, 12.0])
def test_of_young_decisions_it_is_that_of_the_delays_they_had_time_for(since_hours: float) -> None:
    """Delays exponential with a mean of two hours, at the ages that the estimate speaks of: it beats counting."""
    decided, received = seen(np.random.default_rng(7), 20_000, since_hours)
    found = estimate(decided.tolist(), received.tolist(), NOW_MS)
    assert found is not None
    longest = found.seen_ms[-1] / HOUR_MS
    assert 0.9 * since_hours < longest <= since_hours
    hours = np.linspace(0.1, longest, 50)
    truth = -np.expm1(-hours / 2.0) / -np.expm1(-longest / 2.0)
    place = np.searchsorted(found.seen_ms, hours * HOUR_MS, "right") - 1
    plain = np.searchsorted(np.sort(received - decided), hours * HOUR_MS) / len(decided)
    off, plain_off = np.abs(found.reached[place] - truth).max(), np.abs(plain - truth).max()
    assert off < 0.025
    assert plain_off > 0.06


def test_a_share_is_the_average_over_ages() -> None:
    decided, received = seen(np.random.default_rng(8), 5_000, 200.0)
    found = estimate(decided.tolist(), received.tolist(), NOW_MS)
    assert found is not None
    for least, greatest in ((0.0, 0.1), (0.0, 1.0), (1.0, 2.0), (5.0, 6.0), (30.0, 31.0)):
        ages = np.linspace(least, greatest, 10_001) * HOUR_MS
        place = np.searchsorted(found.seen_ms, ages, "right") - 1
        shares = np.where(place < 0, 0.0, found.reached[place])
        mean = found.mean(least * HOUR_MS, greatest * HOUR_MS)
        assert mean == pytest.approx(shares.mean(), abs=1e-3)
        assert 0.0 <= mean <= 1.0


def test_of_few_rewards_nothing_is_said() -> None:
    assert estimate([], [], NOW_MS) is None
    assert estimate([NOW_MS - HOUR_MS] * (LEAST - 1), [NOW_MS] * (LEAST - 1), NOW_MS) is None


def test_clocks_that_differ_do_no_harm() -> None:
    """Decisions after now and rewards before their decision."""
    decided = [NOW_MS + 1_000 - 100 * i for i in range(100)]
    received = [moment - 500 + 10 * i for i, moment in enumerate(decided)]
    found = estimate(decided, received, NOW_MS)
    assert found is not None
    assert (np.diff(found.reached) >= 0.0).all()
    assert found.reached[-1] == 1.0
    assert 0.0 <= found.mean(0, 100) <= 1.0
