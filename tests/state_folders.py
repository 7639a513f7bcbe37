"""Folders for platforms that live as long as a test."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.state import RELOCATED, State, close_sockets
from tools.clean import remove_state


@contextmanager
def temporary_state() -> Iterator[Path]:
    """Where a platform may live; the path has a space in it, and nothing of it is left afterwards."""
    with tempfile.TemporaryDirectory(prefix="pullarm ") as parent:
        Path(parent).chmod(0o711)  # as root, PostgreSQL's own account has to pass through
        folder = Path(parent) / "state"
        yield folder
        relocated = [note.parent for note in Path(parent).rglob(RELOCATED)]
        for each in [*relocated, folder]:
            close_sockets(State(folder=each.resolve()))  # of a platform that was killed
            remove_state(str(each))
