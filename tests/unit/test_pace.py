"""An entry waits for more events only where the event loop has no time to spare."""

import pytest

from serving.pace import BUSY, ENOUGH, WINDOW_S, Pace


class Clocks:
    """Time that passes, and the part of it in which the thread computes."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.computed_s = 3.0

    def pass_by(self, time_s: float, share: float) -> None:
        self.now_s += time_s
        self.computed_s += share * time_s


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def pace(clocks: Clocks) -> Pace:
    return Pace(0.002, lambda: clocks.now_s, lambda: clocks.computed_s)


def test_entries_of_an_idle_process_do_not_wait(clocks: Clocks, pace: Pace) -> None:
    for _ in range(100):
        clocks.pass_by(0.001, BUSY - 0.05)
        assert pace.pause_s(1) == 0.0


def test_entries_of_a_busy_process_wait_and_then_no_longer(clocks: Clocks, pace: Pace) -> None:
    pauses = []
    for share in (1.0, 0.1):
        for _ in range(100):
            clocks.pass_by(0.001, share)
            pauses.append(pace.pause_s(1))
    busy, idle = pauses[:100], pauses[100 + 2 * round(WINDOW_S * 1_000) + 2 :]
    assert busy[-50:] == pytest.approx([0.002] * 50)
    assert set(idle) == {0.0}


def test_the_busier_a_process_the_longer_its_entries_wait(clocks: Clocks, pace: Pace) -> None:
    pauses = []
    for share in (BUSY, 0.75 * BUSY + 0.25, 0.5 * BUSY + 0.5, 1.0):
        for _ in range(100):
            clocks.pass_by(0.001, share)
            pause_s = pace.pause_s(1)
        pauses.append(pause_s)
    assert pauses == pytest.approx([0.0, 0.0005, 0.001, 0.002], abs=1e-9)


def test_after_an_entry_of_many_events_none_waits(clocks: Clocks, pace: Pace) -> None:
    for _ in range(100):
        clocks.pass_by(0.001, 1.0)
        pace.pause_s(1)
    assert pace.pause_s(ENOUGH - 1) == pytest.approx(0.002)
    assert pace.pause_s(ENOUGH) == 0.0
