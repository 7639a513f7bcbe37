"""Another version of Pullarm, unpacked from this checkout's history beside it."""

import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pullarm.domain.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]
_MIGRATIONS = "pullarm/storage/postgres/migrations"
_KERNELS = Path("pullarm", "policies", "__pycache__")


@dataclass(frozen=True, slots=True)
class Release:
    """A version whose processes can be started."""

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)
    """What makes Python find its code and not this version's."""


THIS = Release("this version")


def before_the_newest_migration() -> str:
    """The last commit that had a migration less: from there to here there is all that an upgrade may meet."""
    added = _git("log", "-1", "--diff-filter=A", "--format=%H", "--", _MIGRATIONS).strip()
    if not added:
        raise ConfigurationError("no commit of this checkout's history adds a migration")
    return _git("rev-parse", f"{added}^").strip()


@contextmanager
def unpacked(revision: str) -> Iterator[Release]:
    """A commit's files in a folder of their own, for as long as the block lasts; it runs on this one's dependencies."""
    commit = _git("rev-parse", "--verify", f"{revision}^{{commit}}").strip()
    with tempfile.TemporaryDirectory(prefix="pullarm-release-") as parent:
        folder = Path(parent)
        archive = folder / "release.tar"
        _git("archive", f"--output={archive}", commit)
        with tarfile.open(archive) as packed:
            # Python 3.11.3 and older take all as it is.
            packed.extraction_filter = getattr(tarfile, "data_filter", None)
            packed.extractall(folder)
        archive.unlink()
        _take_kernels(folder)
        yield Release(f"{revision} ({commit[:7]})", {"PYTHONPATH": str(folder)})


def _take_kernels(folder: Path) -> None:
    """What is compiled here already serves there too, where it is the same: their names say of what they were made."""
    (folder / _KERNELS).mkdir(parents=True, exist_ok=True)
    for compiled in (ROOT / _KERNELS).glob("*.nb[ic]"):
        shutil.copy2(compiled, folder / _KERNELS)


def _git(*arguments: str) -> str:
    command = ("git", "-C", str(ROOT), *arguments)
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise ConfigurationError("git is not here, which has the older version") from error
    if done.returncode != 0:
        raise ConfigurationError(
            f"an older version is taken from this checkout's whole history: {done.stderr.strip()}"
        )
    return done.stdout
