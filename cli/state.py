"""The folder one platform lives in, and the short folder for its sockets beside it.

lock                 held while a platform runs; names its process
environment          the addresses and settings every process gets, for a shell or other commands
admin.token          what the commands show the control plane
decision_keys.json   what decision ids are signed with
*.password           of the embedded servers, and of PostgreSQL's users for workers and control
clock                the simulated time of a platform that has one
relocated            where root keeps PostgreSQL's part, when its account cannot enter this folder
postgres/ valkey/    the embedded servers' data
logs/ run/           one log, one note of the process id and one ready file for every program
"""

import fcntl
import hashlib
import os
import secrets
import shlex
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pullarm.domain.errors import ConfigurationError
from pullarm.domain.key_rotation import Keys

RELOCATED = "relocated"
DECISION_KEYS = "decision_keys.json"
SOCKET_PATH_LIMIT = 107 - len("/postgres/.s.PGSQL.5432")


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The paths of one state folder."""

    folder: Path

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def environment(self) -> Path:
        return self.folder / "environment"

    @property
    def admin_token(self) -> Path:
        return self.folder / "admin.token"

    @property
    def decision_keys(self) -> Path:
        return self.folder / DECISION_KEYS

    @property
    def clock(self) -> Path:
        return self.folder / "clock"

    @property
    def digest(self) -> str:
        """Eight characters that stand for this folder where its path would be too long."""
        return hashlib.sha256(str(self.folder).encode()).hexdigest()[:8]

    @property
    def sockets(self) -> Path:
        """A path short enough for Unix sockets, which the system limits to 107 bytes."""
        name = f"pullarm-{os.geteuid()}-{self.digest}"
        preferred = Path(tempfile.gettempdir()) / name
        return (
            preferred if len(os.fsencode(preferred)) <= SOCKET_PATH_LIMIT else Path("/tmp") / name
        )


def open_state(folder: Path) -> State:
    """The state in this folder, whose parts are made where they are missing."""
    state = State(folder=folder.resolve())
    # root's own files stay closed one by one, since PostgreSQL's account has to pass through
    mode = 0o711 if os.geteuid() == 0 else 0o700
    try:
        state.folder.mkdir(mode=mode, parents=True, exist_ok=True)
        for part in (state.logs, state.run):
            part.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write to {state.folder} ({error.strerror}); choose another folder with --state"
        ) from error
    return state


def make_sockets(state: State) -> None:
    """Create the folder for sockets, refusing one that somebody else has put there."""
    folder = state.sockets
    folder.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise ConfigurationError(f"{folder} belongs to somebody else; remove it or set TMPDIR")


def close_sockets(state: State) -> None:
    """Remove the folder for sockets once nobody listens there."""
    shutil.rmtree(state.sockets, ignore_errors=True)


@contextmanager
def locked(state: State) -> Iterator[None]:
    """Hold the state folder for one platform; raises ConfigurationError where one already runs."""
    with (state.folder / "lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise ConfigurationError(
                f"a platform already runs on {state.folder} (process {lock.read().strip()}); "
                "stop it, or choose another folder with --state"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner may read, whole or not at all."""
    fresh = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def password(state: State, server: str) -> str:
    """An embedded server's password, made on first use."""
    path = state.folder / f"{server}.password"
    if not path.exists():
        write_private(path, secrets.token_hex(16))
    return path.read_text(encoding="utf-8")


def decision_keys(state: State) -> Path:
    """The file with the deployment's id and signing keys, made on first use."""
    path = state.decision_keys
    if not path.exists():
        write_private(path, Keys.made().text())
    return path


def write_environment(state: State, values: Mapping[str, str]) -> None:
    """Leave the settings for `. STATE/environment` in a shell and for `read_environment`."""
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(values.items())]
    write_private(state.environment, "".join(lines))


def surroundings(folder: Path) -> dict[str, str]:
    """The settings of the platform that runs on the folder, if one does, and over them this command's own."""
    return read_environment(folder) | {name: value for name, value in os.environ.items() if value}


def read_environment(folder: Path) -> dict[str, str]:
    """The settings a platform left in its state folder; empty where none ever ran."""
    path = State(folder=folder.resolve()).environment
    if not path.exists():
        return {}
    words = shlex.split(path.read_text(encoding="utf-8"))
    return dict(word.split("=", 1) for word in words if word != "export")
