"""Which lives of the processes that share a spool have ended and left nothing in it, so that nobody waits for them.

spool/lives/NAME.life     one file for each life, locked by its process as its segments are (serving/segment.py); it
                          stays until somebody has told the ledger that this life is over
spool/*-NAME-*            its segments, those that could not be read included
"""

import fcntl
import logging
import os
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path

_log = logging.getLogger(__name__)

SUFFIX = ".life"


class Lives:
    """Those that this process can say something of."""

    def __init__(self, spool: Path, life: str) -> None:
        """Let others know that this life lasts, until this process ends."""
        self._spool = spool
        self._folder = spool / "lives"
        self._own = life
        self._held: dict[str, FileIO] = {}
        """By life: its own, and those that have ended."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            new = self._folder / f"{life}.new"  # by its name nobody takes it before it is locked
            self._hold(new, os.O_CREAT | os.O_EXCL)
            new.rename(self._path(life))
        except OSError as error:
            _log.warning("the end of %s will have to be told by hand: %s", life, error)

    def ended(self) -> list[str]:
        """Other lives that are over and have nothing left in the spool, until they are forgotten. Raises OSError."""
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            if path.stem not in self._held:
                with suppress(
                    FileNotFoundError, BlockingIOError
                ):  # told by others just now, or it lasts
                    self._hold(path)
        # Nobody writes segments of a life that is over: what is not there by now never will be.
        left = [path.name for path in self._spool.iterdir()]
        return [
            life
            for life in self._held
            if life != self._own and not any(f"-{life}-" in name for name in left)
        ]

    def forget(self, life: str) -> None:
        """The ledger was told that it is over. Raises OSError."""
        file = self._held.pop(life, None)
        if file is not None:
            self._path(life).unlink(missing_ok=True)
            file.close()

    def close(self) -> None:
        """Leave the rest to others."""
        while self._held:
            self._held.popitem()[1].close()

    def _hold(self, path: Path, flags: int = 0) -> None:
        with ExitStack() as undo:
            file = undo.enter_context(FileIO(os.open(path, os.O_RDWR | flags, 0o600), "rb+"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(path.stat(), os.fstat(file.fileno())):
                raise FileNotFoundError(path)
            undo.pop_all()
        self._held[path.stem] = file

    def _path(self, life: str) -> Path:
        return self._folder / f"{life}{SUFFIX}"
