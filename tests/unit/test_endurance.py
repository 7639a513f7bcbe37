"""Looks at a platform under load: a leak, a backlog and answers that get slower are told from noise."""

import math
from random import Random

import numpy as np
import pytest

from cli.endurance import EVERY_S, Look, endurance
from pullarm.statistics.sketch import LatencySketch, bucket_of

LOOKS = 180
CALLS = 2_500
"""Between two looks."""


Course = tuple[float, ...]
"""Values at even distances, and straight between them."""


def looks(
    *,
    memory_mb: Course = (100.0, 100.0),
    waiting: Course = (50.0, 50.0),
    slow_ms: Course = (15.0, 15.0),
    noise_mb: float = 0.0,
) -> list[Look]:
    """Those of a quarter of an hour; a fiftieth of the answers is slow."""
    random, answered, found = Random(7), LatencySketch(), list[Look]()
    for number in range(LOOKS):
        memory, waits, slowest = (_at(number, each) for each in (memory_mb, waiting, slow_ms))
        slow = LatencySketch({bucket_of(slowest): CALLS // 50})
        answered = answered + slow + LatencySketch({bucket_of(2.0): CALLS})
        held = {"serving-0": memory + noise_mb * random.random(), "worker": 80.0}
        found.append(
            Look(
                at_s=number * EVERY_S,
                private_mb=held,
                waiting=round(waits),
                answered=answered,
            )
        )
    return found


def _at(number: int, course: Course) -> float:
    places = np.linspace(0, LOOKS - 1, len(course))
    return float(np.interp(number, places, course))


def test_what_stays_as_it_is_is_steady() -> None:
    found = endurance(looks(noise_mb=10.0))
    assert found.steady
    assert found.minutes == pytest.approx(15, rel=0.01)
    assert found.mb_per_hour["worker"] == 0
    assert abs(found.mb_per_hour["serving-0"]) < 10
    assert found.p99_ms == pytest.approx((15, 15), rel=0.02)


def test_memory_that_is_taken_while_warming_up_is_no_leak() -> None:
    assert endurance(looks(memory_mb=(100, 150, 150, 150))).steady


def test_a_look_that_ends_before_all_is_warm_tells_nothing_of_leaks() -> None:
    found = endurance(looks(memory_mb=(100, 400, 400))[:60])
    assert found.mb["serving-0"][1] > found.mb["serving-0"][0] + 100
    assert found.mb_per_hour == {}
    assert found.steady


def test_a_leak_is_found_in_noise() -> None:
    found = endurance(looks(memory_mb=(100, 110), noise_mb=5.0))
    assert found.mb_per_hour["serving-0"] == pytest.approx(40, abs=8)
    assert found.mb["serving-0"] == pytest.approx((104, 111), abs=1)
    assert found.mb["worker"] == pytest.approx((80, 80))
    assert not found.steady


def test_what_piles_up_is_found() -> None:
    found = endurance(looks(waiting=(0, 6_000)))
    assert found.waiting == pytest.approx((1_000, 5_000), rel=0.05)
    assert not found.steady


def test_answers_that_get_slower_are_found() -> None:
    found = endurance(looks(slow_ms=(5, 50)))
    assert found.p99_ms == pytest.approx((12.5, 42.5), rel=0.1)
    assert not found.steady


def test_no_answers_at_all_are_not_steady() -> None:
    silent = [
        Look(at_s=number * EVERY_S, private_mb={}, waiting=0, answered=LatencySketch())
        for number in range(6)
    ]
    found = endurance(silent)
    assert math.isinf(found.p99_ms[1])
    assert not found.steady
