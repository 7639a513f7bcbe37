"""Thompson sampling with rewards that come late, against rewards that come at once."""

import numpy as np
import pytest

from pullarm.domain.assignment import MICRO
from pullarm.policies.control import Control
from pullarm.policies.thompson import Thompson
from replay.delays import DAY, DECISIONS, HOUR, NEVER, RATES, WINDOW, Book, Booking, regret

TWO_HOURS = 24  # publications
MOST_RATIO = 1.3
SEEDS = range(9000, 9008)
BOOKINGS: tuple[Booking, ...] = ("provisional", "weighted", "at_close")


@pytest.fixture(scope="module")
def undelayed() -> float:
    """The mean regret after 14 days where rewards come at once."""
    return float(regret(Thompson(), "undelayed", SEEDS)[:, -1].mean())


@pytest.mark.parametrize("booking", ["provisional", "weighted"])
def test_delay_costs_at_most_1_3_times_the_regret(undelayed: float, booking: Booking) -> None:
    """Both means include what the floor costs, 0.0013. The ratio of 8 runs has a standard error of 0.08."""
    delayed = regret(Thompson(), booking, SEEDS)[:, -1].mean()
    assert delayed <= MOST_RATIO * undelayed


def test_weights_help_while_most_decisions_are_young() -> None:
    """On the first two days, when the delays have still to be learned: 8 runs differ by 3 standard errors."""
    provisional, weighted = (
        regret(Thompson(), booking, SEEDS, days=2)[:, -1] for booking in BOOKINGS[:2]
    )
    assert (weighted - provisional).mean() < 0.0


def test_booking_all_when_the_window_closes_costs_more() -> None:
    """Without a floor, where 200 runs without delay lost 0.00153 a decision."""
    delayed = regret(Thompson(floor=0.0), "at_close", SEEDS[:3])[:, -1]
    assert delayed.mean() > MOST_RATIO * 0.00153


def booked(booking: Booking, waits: list[int], now: int) -> tuple[float, float]:
    """Serves and rewards at `now` of an arm that was shown at 0 and rewarded after `waits`."""
    book = Book(booking, publications=now + 1, rows=2)
    book.serve(0, np.ones(len(waits), dtype=np.int64), np.array(waits))
    for time in range(1, now):
        book.posterior(time)
    posterior = book.posterior(now)
    assert (posterior.serves_micro[0], posterior.rewards_micro[0]) == (0, 0)
    return posterior.serves_micro[1] / MICRO, posterior.rewards_micro[1] / MICRO


@pytest.mark.parametrize(
    ("booking", "early", "late"),
    [
        ("undelayed", (2.0, 1.0), (2.0, 1.0)),
        ("provisional", (2.0, 0.0), (2.0, 1.0)),
        ("at_close", (0.0, 0.0), (0.0, 0.0)),
    ],
)
def test_a_success_and_a_failure_are_booked_as_the_booking_says(
    booking: Booking, early: tuple[float, float], late: tuple[float, float]
) -> None:
    """One reward after two hours and none: seen after one, two and 25 hours, when the whole hour has closed."""
    waits = [TWO_HOURS, NEVER]
    assert booked(booking, waits, TWO_HOURS // 2) == pytest.approx(early, abs=1e-6)
    assert booked(booking, waits, TWO_HOURS) == pytest.approx(late, abs=1e-6)
    assert booked(booking, waits, WINDOW + HOUR) == (2.0, 1.0)


def test_failures_count_by_the_share_of_rewards_that_come_by_their_age() -> None:
    """48 decisions each time for 36 hours, 24 of them rewarded evenly over two hours. What serves lack in the end, by
    1 less the share of each age; the product takes hours as a whole, and ages at the end of a step."""
    now, waits = 36 * HOUR, [*range(1, TWO_HOURS + 1), *[NEVER] * TWO_HOURS]
    book = Book("weighted", publications=now + 1, rows=2)
    for time in range(now):
        book.posterior(time)
        book.serve(time, np.ones(len(waits), dtype=np.int64), np.array(waits))
    posterior = book.posterior(now)
    age = np.arange(1, TWO_HOURS + 1)
    lacking = ((len(waits) - age) * (1.0 - age / TWO_HOURS)).sum()
    assert posterior.rewards_micro[1] / MICRO == TWO_HOURS * now - (TWO_HOURS - age).sum()
    missing = len(waits) * now - posterior.serves_micro[1] / MICRO
    assert missing == pytest.approx(lacking, rel=0.15)


def test_who_chooses_at_random_loses_the_mean_gap() -> None:
    """The rates average 0.114 and the best is 0.14: 0.026 are lost, here with 4 standard errors."""
    lost = regret(Control(mode="uniform"), "provisional", [1, 2], days=2)
    error = np.std(RATES) / np.sqrt(2 * DAY * DECISIONS)
    assert lost.shape == (2, 2)
    assert lost[:, 1] == pytest.approx(np.full(2, 0.026), abs=4.0 * error)


def test_a_seed_means_the_same_run() -> None:
    first, again, other = (
        regret(Thompson(), "provisional", [seed], days=1).item() for seed in (5, 5, 6)
    )
    assert first == again != other


def test_without_seeds_or_days_nothing_is_simulated() -> None:
    with pytest.raises(ValueError, match="seeds is empty"):
        regret(Thompson(), "provisional", [])
    with pytest.raises(ValueError, match="days must be at least 1, not 0"):
        regret(Thompson(), "provisional", [1], days=0)
