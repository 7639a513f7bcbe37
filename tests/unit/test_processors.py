"""Processors are kept awake while somebody asks for it."""

import os
from pathlib import Path

import pytest

from pullarm.domain.errors import ConfigurationError
from pullarm.processors import DEVICE, awake


def held() -> list[Path]:
    """The files that this process has open."""
    return [
        Path(os.readlink(each)) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()
    ]


def test_the_wish_is_held_as_long_as_it_lasts(tmp_path: Path) -> None:
    device = tmp_path / "device"
    device.touch()
    with awake(device):
        assert device.read_bytes() == bytes(4)  # no microsecond
        assert device in held()
    assert device not in held()


def test_a_machine_without_the_device_says_so(tmp_path: Path) -> None:
    missing = tmp_path / "device"
    with (
        pytest.raises(ConfigurationError, match=r"PULLARM_KEEP_AWAKE: .*/device cannot be written"),
        awake(missing),
    ):
        pass
    assert not missing.exists()


def test_this_machine_is_kept_awake_where_it_lets_us() -> None:
    if os.access(DEVICE, os.W_OK):
        with awake():
            assert DEVICE in held()
    else:
        with pytest.raises(ConfigurationError, match="cannot be written"), awake():
            pass
