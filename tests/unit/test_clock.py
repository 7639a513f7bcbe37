"""Business time comes from the machine, or from a file that every process of a platform reads."""

import time
from pathlib import Path

import pytest

from pullarm.clock import FileClock, clock_from, system_clock
from pullarm.domain.errors import ConfigurationError


def test_system_clock_is_milliseconds_since_1970() -> None:
    assert abs(clock_from("system")() - time.time() * 1000) < 5_000
    assert clock_from("system") is system_clock


def test_file_clock_stands_until_it_is_set_for_every_reader(tmp_path: Path) -> None:
    path = tmp_path / "a clock"
    setter = FileClock.create(path, 1_760_000_000_000)
    reader = clock_from(f"file:{path}")
    assert reader() == setter() == 1_760_000_000_000
    setter.set(1_760_000_000_001)
    assert reader() == 1_760_000_000_001


def test_clock_that_is_made_again_never_shrinks_under_its_readers(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    path.write_bytes(bytes(16))
    clock = FileClock.create(path, 1_760_000_000_000)
    assert clock() == 1_760_000_000_000
    assert path.stat().st_size == 16, "truncated: a process that has it mapped would die of SIGBUS"


@pytest.mark.parametrize("setting", ["", "wall", "file:", "file:/no/such/clock", "file:/"])
def test_other_settings_are_refused_with_what_there_is(setting: str) -> None:
    with pytest.raises(ConfigurationError, match="use 'system' or 'file:PATH' of a clock"):
        clock_from(setting)
