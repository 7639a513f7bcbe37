"""The audit of what is installed finds what was changed."""

from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest

from tools.audit import findings, locked

LOCK = 'Some.Package[extra]==1.2 ; sys_platform == "linux" \\\n    --hash=sha256:00\nother==3\nother==4\n'
EMPTY = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"


@pytest.fixture
def package(tmp_path: Path) -> Distribution:
    """Installed, with one empty module."""
    info = tmp_path / "some_package-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some_package\nVersion: 1.2\n")
    (tmp_path / "some.py").touch()
    record = f"some.py,sha256={EMPTY},0\nsome.pyc,,\nsome_package-1.2.dist-info/RECORD,,\n"
    (info / "RECORD").write_text(record)
    return PathDistribution(info)


def test_versions_are_read_from_the_lock() -> None:
    assert locked(LOCK) == {"some-package": ["1.2"], "other": ["3", "4"]}


def test_what_is_as_it_was_installed_is_right(package: Distribution) -> None:
    assert findings(package, locked(LOCK)) == []


def test_a_changed_file_is_found(package: Distribution, tmp_path: Path) -> None:
    told = ["some-package: some.py is not what was installed"]
    (tmp_path / "some.py").write_text("import os\n")
    assert findings(package, locked(LOCK)) == told
    (tmp_path / "some.py").unlink()
    assert findings(package, locked(LOCK)) == told


@pytest.mark.parametrize(("lock", "has"), [("some-package==1.3\n", "1.3"), ("", "none")])
def test_another_version_is_found(package: Distribution, lock: str, has: str) -> None:
    assert findings(package, locked(lock)) == [f"some-package 1.2 is installed; the lock has {has}"]
