"""Folders for platforms that live as long as a test."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli import state


@contextmanager
def temporary_state() -> Iterator[Path]:
    """Where a platform may live; the path has a space in it, and nothing of it is left afterwards."""
    with tempfile.TemporaryDirectory(prefix="pullarm ") as parent:
        Path(parent).chmod(0o711)  # as root, PostgreSQL's own account has to pass through
        folder = Path(parent) / "state"
        yield folder
        for relocated in list(Path(parent).rglob(state.RELOCATED)):
            state.remove(relocated.parent)
        state.remove(folder)
