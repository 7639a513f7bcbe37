"""State folders that live as long as a command."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.platform import OWN


@contextmanager
def temporary_state(name: str) -> Iterator[Path]:
    """A folder for a platform with servers and keys of its own, whatever the environment names; removed afterwards."""
    for each in OWN:
        os.environ.pop(each, None)
    with tempfile.TemporaryDirectory(prefix=f"pullarm-{name}-") as parent:
        os.chmod(parent, 0o711)  # as root, PostgreSQL's own account has to pass through
        yield Path(parent) / "state"
